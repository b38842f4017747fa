//! Fleets of real processes that are killed while deliveries pour in, on Redis and on SQLite: what was answered takes
//! effect once, whatever dies and whenever. Also the quieter ways for a process or a server to come and go.
#![cfg(test)]

mod deliveries;
mod fleet;
#[path = "../serve/gate.rs"]
mod gate;
mod github;
mod joining;
#[path = "../serve/payload.rs"]
mod payload;
mod reckoning;
mod redis_down;
#[path = "../redis_engine/server.rs"]
mod server;
mod storms;
