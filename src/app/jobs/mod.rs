//! Jobs: those that wait for a runner, and the history of one.

pub mod history;
pub mod record;
pub mod waiting;
