//! What jitgate knows and decides, as plain values and pure functions.
//!
//! Nothing here does I/O, reads a clock, draws a random number or logs. A delivery becomes a [`event::JobEvent`];
//! [`question::next`] says which fact about it is still missing; [`decision::decide`] turns event and facts into one
//! [`decision::Decision`]. Everything else in the crate gathers those facts and carries out that decision.

pub mod admission;
pub mod alert;
pub mod app;
pub mod base_runner;
pub mod decision;
pub mod event;
pub mod facts;
pub mod finding;
pub mod github_setup;
pub mod ids;
pub mod image;
pub mod imagined;
pub mod incident;
pub mod job;
pub mod labels;
pub mod operator_change;
pub mod own_rerun;
pub mod payload;
pub mod pin;
pub mod place;
pub mod policy;
pub mod pool;
pub mod proof;
pub mod question;
pub mod reason;
pub mod recovery;
pub mod retry;
pub mod rollout;
pub mod route_rule;
pub mod routing;
pub mod routing_verdict;
pub mod runner;
pub mod runner_folder;
pub mod runner_group;
pub mod runner_release;
pub mod runner_task;
#[cfg(test)]
pub(crate) mod samples;
pub mod scale;
pub mod secret_strength;
pub mod services;
pub mod signature;
pub mod slot;
pub mod text;
#[cfg(test)]
pub(crate) mod transition_table;
pub mod trust;
pub mod units;
pub mod workflow_text;
