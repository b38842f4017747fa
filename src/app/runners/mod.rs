//! Runners: their creation, job gate, end and removal, the sweep, and the runners of others.

pub mod claim;
pub mod job_gate;
pub mod lifecycle;
pub mod list;
pub mod provision;
pub mod record;
pub mod sweep;
pub mod thefts;
pub mod ungated;
