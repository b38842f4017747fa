//! Clusters of real processes that are killed while deliveries arrive, on Redis and on SQLite: each delivery that was
//! answered takes effect once, whichever process dies and at any time. Also processes and servers that stop and start
//! normally.

#![cfg(test)]

mod cluster;
mod deliveries;
mod effects;
#[path = "../it/support/gate.rs"]
mod gate;
mod github;
mod joining;
#[path = "../it/support/payload.rs"]
mod payload;
#[path = "../it/support/redis.rs"]
mod redis;
mod redis_down;
mod storms;
