//! Self-hosted routing and its rollback.

pub mod offline;
pub(in crate::app) mod rerun;
pub mod rollback;
pub(in crate::app) mod run_labels;
mod stuck;
pub mod switch;
