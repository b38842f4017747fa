//! The running gate from outside: the real binary as a child process, spoken to over its two ports as GitHub, operators
//! and attackers would. Nothing here looks inside.
#![cfg(test)]

mod admin;
mod alertmanager;
mod alerts;
mod copies;
mod crowd;
mod crowding;
mod decisions;
mod gate;
mod health;
mod held;
mod locked;
mod outage;
mod payload;
mod planted;
mod proxies;
mod receiver;
mod refusals;
mod reload;
mod samples;
mod secrecy;
mod senders;
#[path = "../redis_engine/server.rs"]
mod server;
mod start;
mod story;
mod taking;
mod target;
mod unreadable;
mod wire;
