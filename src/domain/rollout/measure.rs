//! Measurements of a trusted run: the queue wait and its parts, the setup latency, the life cycle of its runners, and
//! the routing verdicts of its jobs.

use crate::domain::ids::{JobId, RunId};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One attempt of a trusted run with at least one job that belongs on self-hosted runners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRun {
    pub run: RunId,
    pub attempt: u32,
    pub pull_request: u64,
    /// The creation time of the run's first attempt, by GitHub's clock.
    pub created_at: DateTime<Utc>,
    /// The jobs in the class Pool, and those that were not routed.
    pub jobs: BTreeMap<JobId, MeasuredJob>,
    /// The routing verdicts of all other jobs that were judged before this run was first seen.
    #[serde(default)]
    pub tally_before: Tally,
}

/// A job of a measured run. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredJob {
    /// The last routing verdict.
    pub verdict: RoutingVerdict,
    /// GitHub's times. `started_at` is set only after the job has started on a runner.
    pub created_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    /// The parts of the wait, as far as they are known.
    #[serde(default)]
    pub parts: WaitParts,
    /// The time from the start of the job to its first own step.
    pub setup_ms: Option<u64>,
    pub lifecycle: Lifecycle,
}

/// The parts of a queue wait, in milliseconds. Times of several clocks meet here, so the parts are estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WaitParts {
    /// From the creation of the job to the arrival of its delivery.
    pub delivery_lag_ms: Option<u64>,
    /// From the arrival to the decision.
    pub decision_ms: Option<u64>,
    /// From the decision to the assignment of a slot.
    pub slot_ms: Option<u64>,
    /// From the assignment to GitHub's record of the runner.
    pub mint_ms: Option<u64>,
    /// From the record to the connection of the runner.
    pub boot_ms: Option<u64>,
    /// From the connection to the start of the job.
    pub pickup_ms: Option<u64>,
}

/// The life cycle of the runners of a job, by its final outcome. A failed runner whose successor ran the job is no
/// failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// The job waits for its runner.
    Waiting,
    /// The job runs, or its runner is not removed yet.
    Running,
    /// The job ran, and its runner was removed.
    Success,
    /// No runner could be booted for the job.
    BootFailed,
    /// No runner was registered, or none was given the job.
    RegistrationFailed,
    /// The runner was lost while the job ran.
    Lost,
    /// The runner was not removed in time.
    TearDownFailed,
    /// The job was cancelled or superseded before it started. It does not count.
    Cancelled,
    /// The job was denied. It does not count.
    Denied,
    /// The job ran on other runners: it was not routed. It does not count.
    Elsewhere,
}

/// Counts of judged jobs by routing verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Jobs with the verdict `correct`.
    pub correct: u64,
    /// Jobs with the verdict `misroute` or `not-routed`.
    pub wrong: u64,
}

/// A route mismatch beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    pub job: JobId,
    pub run: RunId,
    pub pull_request: Option<u64>,
    pub verdict: RoutingVerdict,
    /// The creation time of the run, by GitHub's clock.
    pub run_created_at: Option<DateTime<Utc>>,
    pub at: DateTime<Utc>,
}
