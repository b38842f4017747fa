//! Runners: how one is made, passes its job gate, ends and is removed; and which others there are.

pub mod claim;
pub mod job_gate;
pub mod lifecycle;
pub mod list;
pub mod provision;
pub mod record;
pub mod sweep;
pub mod thefts;
pub mod ungated;
