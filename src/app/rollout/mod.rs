//! Self-hosted routing and its rollback.

pub mod rollback;
pub(in crate::app) mod run_labels;
