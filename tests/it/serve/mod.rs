//! The running gate from outside: the real binary as a child process, spoken to over its two ports as GitHub, operators
//! and attackers would. Nothing here looks inside.

mod admin;
mod alertmanager;
mod alerts;
mod copies;
mod crowd;
mod crowding;
mod decisions;
mod health;
mod held;
mod locked;
mod outage;
mod planted;
mod proxies;
mod recovered;
mod refusals;
mod reload;
mod samples;
mod secrecy;
mod senders;
mod start;
mod story;
mod taking;
mod target;
mod unreadable;
mod wire;
