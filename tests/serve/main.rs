//! The running gate from outside: the real binary as a child process, spoken to over its two ports as GitHub, operators
//! and attackers would. Nothing here looks inside.
#![cfg(test)]

mod admin;
mod alertmanager;
mod alerts;
mod crowd;
mod crowding;
mod decisions;
mod gate;
mod health;
mod held;
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
mod start;
mod story;
mod taking;
mod target;
mod wire;
