//! `[slo]`: service level objectives.

use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSlo {
    /// Number of the latest trusted runs that the objectives are measured over.
    #[schemars(range(min = 1, max = 10_000))]
    window: NonZeroU32,
    /// Minimum share of runners with a complete life cycle.
    #[schemars(range(min = 0, max = 1))]
    lifecycle_success: f64,
    /// Minimum share of correctly routed jobs.
    #[schemars(range(min = 0, max = 1))]
    routing_correctness: f64,
    /// Maximum 95th percentile of the queue wait.
    #[schemars(range(min = 1, max = 604_800))]
    queue_wait_p95_s: u64,
    /// Maximum 95th percentile of the time from a job's start to its first step.
    #[schemars(range(min = 1, max = 604_800))]
    setup_latency_p95_s: u64,
}

/// Service level objectives.
#[derive(Debug, Clone)]
pub struct Slo {
    pub window: NonZeroU32,
    /// Minimum share of runners with a complete life cycle, 0 to 1.
    pub lifecycle_success: f64,
    /// Minimum share of correctly routed jobs, 0 to 1.
    pub routing_correctness: f64,
    pub queue_wait_p95: Duration,
    pub setup_latency_p95: Duration,
}

impl From<RawSlo> for Slo {
    fn from(raw: RawSlo) -> Self {
        Self {
            window: raw.window,
            lifecycle_success: raw.lifecycle_success,
            routing_correctness: raw.routing_correctness,
            queue_wait_p95: Duration::from_secs(raw.queue_wait_p95_s),
            setup_latency_p95: Duration::from_secs(raw.setup_latency_p95_s),
        }
    }
}
