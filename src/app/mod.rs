//! The use cases: a delivery is received, facts are gathered, a decision is made, recorded and carried out.
//!
//! Everything here works on ports and domain values; which engine, host or GitHub is behind them is wired in `runtime`.

pub mod alerts;
pub mod context;
pub mod events;
pub mod ingest;
pub mod jobs;
pub mod measure;
pub mod pool;
pub mod quarantine;
pub mod records;
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
