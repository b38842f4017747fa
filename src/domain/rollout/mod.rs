//! The controlled rollout of self-hosted routing: measured runs, canary stages, rollback triggers and service levels, as
//! plain values and pure functions.

mod change;
mod measure;
mod percentile;
mod policy;
mod rollback;
mod trigger;

pub use change::{Change, Changed, Origin};
pub use measure::{Lifecycle, MeasuredJob, MeasuredRun, Mismatch, Tally, WaitParts, per_pull_request};
pub use percentile::{P95, percentile, rank};
pub use policy::{RolloutPolicy, SloPolicy};
pub use rollback::{
    MAX_STUCK_JOBS, MAX_STUCK_RUNS, Rollback, RollbackEvent, RollbackStep, RunProgress, StuckEvent, StuckRun,
    StuckState, StuckTask,
};
pub use trigger::{Evidence, EvidenceItem, Trigger};
