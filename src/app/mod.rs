//! The use cases: a delivery is received, facts are gathered, a decision is made, recorded and carried out.
//!
//! Everything here works on ports and domain values; which engine, host or GitHub is behind them is wired in `runtime`.

pub mod act;
pub mod alerts;
pub mod claim;
pub mod decide;
pub mod gate;
pub mod gather;
mod hold;
pub mod ingest;
pub mod job_gate;
pub mod measure;
pub mod pool;
pub mod provision;
pub mod quarantine;
pub mod records;
pub mod roster;
pub mod runners;
pub mod settings;
pub mod story;
pub mod sweep;
pub mod verify;
pub mod wants;
pub mod work;

pub use crate::domain::signature;
pub use alerts::Alerts;
pub use gate::Gate;
pub use ingest::Ingest;
pub use settings::Settings;
