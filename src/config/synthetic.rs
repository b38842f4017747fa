//! `[synthetic]`: how runners that are only pretended behave, for `runners.host = "synthetic"`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSynthetic {
    /// How long an environment boots.
    #[schemars(range(max = 3600))]
    boot_s: u64,
    /// How long a runner takes from its configuration to its connection.
    #[schemars(range(max = 3600))]
    start_s: u64,
    /// So many environments do not come up, from the first on.
    failing_boots: u32,
    /// So many runners never connect.
    failing_starts: u32,
    /// So many runners have a hook that never calls at the job gate.
    silent_hooks: u32,
    /// So many runners let their job begin without asking.
    open_gates: u32,
}

/// How pretended runners behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Synthetic {
    /// How long an environment boots.
    pub boot: Duration,
    /// How long a runner takes from its configuration to its connection.
    pub start: Duration,
    /// So many environments do not come up, from the first on.
    pub failing_boots: u32,
    /// So many runners never connect.
    pub failing_starts: u32,
    /// So many runners have a hook that never calls at the job gate.
    pub silent_hooks: u32,
    /// So many runners let their job begin without asking.
    pub open_gates: u32,
}

impl From<RawSynthetic> for Synthetic {
    fn from(raw: RawSynthetic) -> Self {
        Self {
            boot: Duration::from_secs(raw.boot_s),
            start: Duration::from_secs(raw.start_s),
            failing_boots: raw.failing_boots,
            failing_starts: raw.failing_starts,
            silent_hooks: raw.silent_hooks,
            open_gates: raw.open_gates,
        }
    }
}
