//! `[rollout]`: the canary, and what rolls it back.

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
    /// How many trusted pull requests each canary stage takes.
    #[schemars(inner(range(min = 1, max = 1_000_000)))]
    stages: Vec<NonZeroU32>,
    /// Whether a good stage is followed by the next one by itself or by a person.
    advance: Advance,
    /// Boot failures in a row that roll back.
    #[schemars(range(min = 1, max = 10_000))]
    boot_failures: NonZeroU32,
    /// 95th percentile of the queue wait that rolls back.
    #[schemars(range(min = 1, max = 604_800))]
    queue_wait_p95_s: u64,
    /// Over how many of the latest trusted pull requests it is taken.
    #[schemars(range(min = 1, max = 10_000))]
    queue_wait_window: NonZeroU32,
    /// Whether the time GitHub took to tell us is left out of it.
    exclude_delivery_lag: bool,
    /// Time without any runner that rolls back.
    #[schemars(range(min = 1, max = 604_800))]
    offline_s: u64,
    /// Whether an outsider's contained attempt rolls back too.
    rollback_on_attempt: bool,
    /// Whether jobs stuck behind a rollback have their run cancelled and re-run.
    rerun_stuck: bool,
}

/// The canary, and what rolls it back.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Whether GitHub is written to.
    pub mode: Mode,
    /// How many trusted pull requests each canary stage takes; growing.
    pub stages: Vec<NonZeroU32>,
    /// What follows a good stage.
    pub advance: Advance,
    /// Boot failures in a row that roll back.
    pub boot_failures: NonZeroU32,
    /// 95th percentile of the queue wait that rolls back.
    pub queue_wait_p95: Duration,
    /// Over how many of the latest trusted pull requests it is taken.
    pub queue_wait_window: NonZeroU32,
    /// Whether the time GitHub took to tell us is left out of it.
    pub exclude_delivery_lag: bool,
    /// Time without any runner that rolls back.
    pub offline: Duration,
    /// Whether an outsider's contained attempt rolls back too.
    pub rollback_on_attempt: bool,
    /// Whether jobs stuck behind a rollback have their run cancelled and re-run.
    pub rerun_stuck: bool,
}

/// The step after a good canary stage: the next stage at once, or the next stage once an operator asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    Auto,
    Manual,
}

impl RawRollout {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Rollout, Reported> {
        if !self.stages.is_sorted_by(|before, after| before < after) {
            let remedy = "let each stage take more pull requests than the one before";
            return Err(check.problem("rollout.stages", "does not grow", remedy));
        }
        if self.rollback_on_attempt {
            let remedy = "leave it off: attempts are contained anyway";
            check.warn(
                "rollout.rollback_on_attempt",
                "lets any passer-by switch routing off",
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
        })
    }
}
