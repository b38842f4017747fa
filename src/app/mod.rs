//! The use cases: a delivery is received, facts are gathered, a decision is made, recorded and carried out.
//!
//! Everything here works on ports and domain values; which engine, host or GitHub is behind them is wired in `runtime`.

pub mod act;
pub mod alerts;
mod budget;
pub mod claim;
pub mod decide;
pub mod gate;
pub mod gather;
mod hold;
pub mod ingest;
pub mod job_gate;
pub mod measure;
pub mod pins;
pub mod pool;
pub mod provision;
pub mod quarantine;
mod recent;
pub mod records;
mod renamed;
pub mod roster;
pub mod runners;
pub mod settings;
pub mod story;
pub mod sweep;
mod thefts;
mod ungated;
pub mod verify;
pub mod wants;
pub mod work;

pub use crate::domain::signature;
pub use alerts::Alerts;
pub use budget::Budget;
pub use gate::Gate;
pub use ingest::Ingest;
pub use renamed::Renamed;
pub use settings::Settings;
