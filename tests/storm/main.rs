//! Fleets of real processes that are killed while deliveries pour in, on Redis and on SQLite: what was answered takes
//! effect once, whatever dies and whenever. Also the quieter ways for a process or a server to come and go.
#![cfg(test)]

mod deliveries;
mod fleet;
#[path = "../it/support/gate.rs"]
mod gate;
mod github;
mod joining;
#[path = "../it/support/payload.rs"]
mod payload;
mod reckoning;
#[path = "../it/support/redis.rs"]
mod redis;
mod redis_down;
mod storms;
