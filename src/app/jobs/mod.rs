//! Jobs: waiting jobs, and the history of a job.

pub mod assignment;
pub mod history;
pub mod record;
pub mod waiting;
