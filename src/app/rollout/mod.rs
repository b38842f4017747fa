//! Self-hosted routing and its rollback.

pub mod offline;
pub mod pass;
pub(in crate::app) mod rerun;
pub mod rollback;
pub(in crate::app) mod run_labels;
pub mod status;
pub(in crate::app) mod stop;
mod stuck;
pub mod switch;
