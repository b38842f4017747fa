//! The processing of a delivery: the worker leases it, gathers facts, decides, records the decision and executes its
//! actions.

pub mod actions;
pub mod budget;
mod gather;
pub mod github_cache;
mod lease;
pub mod process;
mod recent;
pub mod refusal;
pub mod worker;
