//! What is done with a delivery: the worker leases it, gathers facts, decides, records the decision and carries it out.

mod actions;
pub mod budget;
pub mod gather;
mod lease;
pub mod process;
mod recent;
pub mod worker;
