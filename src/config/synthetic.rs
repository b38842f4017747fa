//! `[synthetic]`: the behaviour of simulated runners, for `runners.host = "synthetic"`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSynthetic {
    /// Boot time of a slot.
    #[schemars(range(max = 3600))]
    boot_s: u64,
    /// Time from a runner's configuration to its connection.
    #[schemars(range(max = 3600))]
    start_s: u64,
    /// Number of first slots that fail to boot.
    failing_boots: u32,
    /// Number of first runners that never connect.
    failing_starts: u32,
    /// Number of first runners whose slot fails once it has the runner's configuration.
    dying_starts: u32,
    /// Number of first runners that never call at the job gate.
    silent_hooks: u32,
    /// Number of first runners that start their job without asking.
    open_gates: u32,
}

/// The behaviour of simulated runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Synthetic {
    pub boot: Duration,
    pub start: Duration,
    pub failing_boots: u32,
    pub failing_starts: u32,
    pub dying_starts: u32,
    pub silent_hooks: u32,
    pub open_gates: u32,
}

impl From<RawSynthetic> for Synthetic {
    fn from(raw: RawSynthetic) -> Self {
        Self {
            boot: Duration::from_secs(raw.boot_s),
            start: Duration::from_secs(raw.start_s),
            failing_boots: raw.failing_boots,
            failing_starts: raw.failing_starts,
            dying_starts: raw.dying_starts,
            silent_hooks: raw.silent_hooks,
            open_gates: raw.open_gates,
        }
    }
}
