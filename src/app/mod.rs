//! The use cases: receive a delivery, gather facts, decide, store the decision, and carry it out.
//!
//! This layer depends on ports and domain values only. `runtime` connects it to a store, a runner host and GitHub.

pub mod alerts;
pub mod base_runners;
pub mod change_ledger;
pub mod context;
pub mod events;
pub mod github_setup;
pub mod incidents;
pub mod ingest;
pub mod jit_request;
pub mod jobs;
pub mod measure;
pub mod pool;
pub mod pull_preview;
pub mod quarantine;
pub mod records;
pub mod recovery;
pub mod repositories;
pub mod rollout;
pub mod runners;
pub mod settings;
pub mod verify;

pub use crate::domain::signature;
pub use alerts::Alerts;
pub use context::Context;
pub use ingest::Ingest;
pub use settings::Settings;
