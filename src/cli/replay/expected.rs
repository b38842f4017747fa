//! The expectations of a fixture. An absent key expects nothing, and an unknown key is an error.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The expectations on a delivery. An absent key expects nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    pub(super) labels_class: Option<String>,
    pub(super) trust: Option<String>,
    /// The reason codes of trust and admission.
    pub(super) reasons: Option<Vec<String>>,
    pub(super) routing: Option<String>,
    pub(super) admission: Option<String>,
    pub(super) actions: Option<Vec<String>>,
    pub(super) would: Option<Vec<String>>,
    pub(super) warnings: Option<Vec<String>>,
}

/// The expectations on the rollout after a step. An absent key expects nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RolloutExpect {
    /// Value of the routing variable.
    pub(super) variable: Option<String>,
    /// The stage of the canary, from 0.
    pub(super) stage: Option<usize>,
    /// The pull requests that were counted in this stage.
    pub(super) progress: Option<u32>,
    /// The triggers that are hit.
    pub(super) triggers: Option<Vec<String>>,
    /// Text in the reason of the latest change.
    pub(super) why: Option<String>,
}

/// The expectations at the end of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Number of created runners.
    pub(super) minted: Option<u64>,
    /// Number of jobs that ran on these runners.
    pub(super) ran: Option<u64>,
    /// Number of runner records and slots that still exist.
    pub(super) left: Option<u64>,
    /// Kinds of the raised alerts.
    pub(super) alerts: Option<Vec<String>>,
    /// Kinds of the unresolved alerts.
    pub(super) open_alerts: Option<Vec<String>>,
    /// Escalations of alerts, as `KIND:DEADLINE`.
    pub(super) escalations: Option<Vec<String>>,
    /// For each kind of alert, the number of repeats of each alert, the largest first.
    pub(super) alert_counts: Option<BTreeMap<String, Vec<u64>>>,
    /// Value of the routing variable.
    pub(super) variable: Option<String>,
    /// The runs that jitgate re-ran, once for each re-run.
    pub(super) reruns: Option<Vec<u64>>,
    /// The stage of the canary, from 0.
    pub(super) stage: Option<usize>,
    /// Number of rollbacks.
    pub(super) rollbacks: Option<usize>,
    /// The changes of the rollout, the oldest first.
    pub(super) history: Option<Vec<String>>,
}
