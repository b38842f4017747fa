//! The controlled rollout of self-hosted routing: measured runs, canary stages, rollback triggers and service levels, as
//! plain values and pure functions.

mod canary;
mod change;
mod doubt;
mod lifecycle;
mod live_times;
mod measure;
pub mod offline;
mod percentile;
mod plan;
mod policy;
mod rollback;
mod simulation;
pub mod slo;
mod stuck;
mod switch;
mod trigger;
mod triggers;

pub use canary::{Canary, CanaryEvent, Phase, Refused, Walked};
pub use change::{Change, Changed, OURSELVES, Origin};
pub use doubt::{Doubt, doubtful};
pub use lifecycle::{Course, Lifecycle, Served, TEAR_DOWN_TIMEOUT, WaitParts};
pub use live_times::LiveTimes;
pub use measure::{MeasuredJob, MeasuredRun, Mismatch, Tally, per_pull_request};
pub use offline::Offline;
pub use percentile::{P95, percentile, rank};
pub use plan::{Plan, Report, Reports, Situation, plan};
pub use policy::{RolloutPolicy, SloPolicy};
pub use rollback::{Failing, Rollback, RollbackEvent, RollbackStep};
pub use simulation::{Recorded, Simulation, Step, Totals, simulate};
pub use stuck::{LiveJobs, MAX_STUCK_JOBS, MAX_STUCK_RUNS, RunProgress, StuckEvent, StuckRun, StuckState, StuckTask};
pub use switch::{Intent, Switch};
pub use trigger::{Cause, Evidence, EvidenceItem, Judgement, Outage, Trigger};
pub use triggers::{Grounds, Period, Waits, decided, judge};
