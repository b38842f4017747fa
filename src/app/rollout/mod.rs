//! Self-hosted routing and its rollback.

pub(in crate::app) mod rerun;
pub mod rollback;
pub(in crate::app) mod run_labels;
