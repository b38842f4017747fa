//! Self-hosted routing and its rollback.

pub(in crate::app) mod measure;
pub mod refresh;
pub mod rollback;
pub mod slo;
pub(in crate::app) mod run_labels;
pub mod tally;
