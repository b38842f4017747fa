//! Self-hosted routing and its rollback.

mod confirm;
pub(in crate::app) mod measure;
pub mod offline;
pub mod pass;
mod record;
pub mod refresh;
mod report;
pub(in crate::app) mod rerun;
pub mod rollback;
pub(in crate::app) mod run_labels;
pub mod slo;
pub mod status;
pub(in crate::app) mod stop;
mod stuck;
pub mod switch;
pub mod tally;
pub mod variable;
