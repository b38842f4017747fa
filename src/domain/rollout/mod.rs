//! The controlled rollout of self-hosted routing: measured runs, canary stages, rollback triggers and service levels, as
//! plain values and pure functions.

mod change;
mod lifecycle;
mod measure;
mod percentile;
mod policy;
pub mod slo;
mod trigger;

pub use change::{Change, Changed, Origin};
pub use lifecycle::{Course, Lifecycle, Served, TEAR_DOWN_TIMEOUT};
pub use measure::{MeasuredJob, MeasuredRun, Mismatch, Tally, WaitParts, per_pull_request};
pub use percentile::{P95, percentile, rank};
pub use policy::{RolloutPolicy, SloPolicy};
pub use trigger::{Evidence, EvidenceItem, Trigger};
