//! `[rollout]`: the canary and its rollback triggers.

use super::check::{Check, Reported};
use crate::domain::policy::Mode;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRollout {
    /// `observe` writes nothing to GitHub except runners; `enforce` also cancels runs and switches routing off.
    mode: Mode,
    /// Number of trusted pull requests in each canary stage.
    #[schemars(inner(range(min = 1, max = 1_000_000)))]
    stages: Vec<NonZeroU32>,
    /// Start of the next stage: automatic or by an operator.
    advance: Advance,
    /// Number of consecutive boot failures that trigger a rollback.
    #[schemars(range(min = 1, max = 10_000))]
    boot_failures: NonZeroU32,
    /// 95th percentile of the queue wait that triggers a rollback.
    #[schemars(range(min = 1, max = 604_800))]
    queue_wait_p95_s: u64,
    /// Number of the latest trusted pull requests in this percentile.
    #[schemars(range(min = 1, max = 10_000))]
    queue_wait_window: NonZeroU32,
    /// Excludes GitHub's delivery lag from the queue wait.
    exclude_delivery_lag: bool,
    /// Time without the runners that should be online, after a recovery attempt, that triggers a rollback.
    #[schemars(range(min = 1, max = 604_800))]
    offline_s: u64,
    /// A contained attempt by an outsider also triggers a rollback.
    rollback_on_attempt: bool,
    /// Cancels and re-runs the runs of jobs that wait after a rollback.
    rerun_stuck: bool,
    /// Re-runs the run of a job that was lost together with its machine, once.
    rerun_lost: bool,
}

/// Settings of the canary and its rollback triggers.
#[derive(Debug, Clone)]
pub struct Rollout {
    pub mode: Mode,
    /// Number of trusted pull requests in each canary stage, in ascending order.
    pub stages: Vec<NonZeroU32>,
    pub advance: Advance,
    pub boot_failures: NonZeroU32,
    pub queue_wait_p95: Duration,
    pub queue_wait_window: NonZeroU32,
    pub exclude_delivery_lag: bool,
    pub offline: Duration,
    pub rollback_on_attempt: bool,
    pub rerun_stuck: bool,
    pub rerun_lost: bool,
}

/// The start of the next canary stage: automatic or by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    Auto,
    Manual,
}

impl RawRollout {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Rollout, Reported> {
        if !self.stages.is_sorted_by(|before, after| before < after) {
            let remedy = "use a larger number for each further stage";
            return Err(check.problem("rollout.stages", "is not in ascending order", remedy));
        }
        if self.rollback_on_attempt {
            let remedy = "set it to false; attempts are contained in any case";
            check.warn(
                "rollout.rollback_on_attempt",
                "lets any outsider switch routing off",
                remedy,
            );
        }
        Ok(Rollout {
            mode: self.mode,
            stages: self.stages,
            advance: self.advance,
            boot_failures: self.boot_failures,
            queue_wait_p95: Duration::from_secs(self.queue_wait_p95_s),
            queue_wait_window: self.queue_wait_window,
            exclude_delivery_lag: self.exclude_delivery_lag,
            offline: Duration::from_secs(self.offline_s),
            rollback_on_attempt: self.rollback_on_attempt,
            rerun_stuck: self.rerun_stuck,
            rerun_lost: self.rerun_lost,
        })
    }
}
