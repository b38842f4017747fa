//! Commands that look into the store beside a process that serves: what they print, change, and refuse.

mod alerts;
mod app;
mod changes;
mod dead_letters;
mod deliveries;
mod deployment;
mod durability;
mod export;
mod image;
mod incidents;
mod jit;
mod metrics;
mod recover;
mod repository;
mod rollout_history;
mod runners;
mod setup;
mod setup_app;
mod sizes;
pub(crate) mod stage;
mod verify;
mod verify_app;
mod why;
mod why_pull;
