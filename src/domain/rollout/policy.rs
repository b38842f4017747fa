//! The operator's settings of the rollout and the service levels, as plain values.

use chrono::TimeDelta;

/// The canary stages and the thresholds of the rollback triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPolicy {
    /// The number of trusted pull requests in each stage. One more stage without an end follows.
    pub stages: Vec<u32>,
    /// True if an operator starts each further stage.
    pub advances_manually: bool,
    /// Consecutive pull requests that fail to boot or register.
    pub boot_failures: usize,
    /// Maximum 95th percentile of the queue wait.
    pub queue_wait_p95: TimeDelta,
    /// Number of pull requests in this percentile.
    pub queue_wait_window: usize,
    /// True if GitHub's delivery lag does not count as queue wait.
    pub exclude_delivery_lag: bool,
    /// Time without runners after a recovery attempt.
    pub offline: TimeDelta,
}

/// The service level objectives.
#[derive(Debug, Clone, PartialEq)]
pub struct SloPolicy {
    /// Number of the newest trusted runs that are measured.
    pub window: usize,
    /// Minimum share, 0 to 1.
    pub lifecycle_success: f64,
    /// Minimum share, 0 to 1.
    pub routing_correctness: f64,
    pub queue_wait_p95: TimeDelta,
    pub setup_latency_p95: TimeDelta,
}
