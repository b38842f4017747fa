//! The rollback triggers and their evidence.

use crate::domain::ids::{JobId, RunId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A rollback trigger of the operator's checklist, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Consecutive trusted pull requests failed because no runner booted or registered.
    BootFailures,
    /// The 95th percentile of the queue wait is too high.
    QueueWait,
    /// Runners that should be online stayed offline after a recovery attempt.
    Offline,
    /// A job was routed to the wrong runners.
    RouteMismatch,
}

impl Trigger {
    /// All triggers, in the order of the checklist.
    pub const ALL: [Self; 4] = [Self::BootFailures, Self::QueueWait, Self::Offline, Self::RouteMismatch];

    /// Returns the name used in records, alerts and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BootFailures => "boot-failures",
            Self::QueueWait => "queue-wait",
            Self::Offline => "offline",
            Self::RouteMismatch => "route-mismatch",
        }
    }
}

/// The evidence of a trigger: one sentence, and the runs or runners behind it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// One sentence with the measured value and the threshold.
    pub summary: String,
    /// The runs or runners that the sentence rests on, newest first.
    pub items: Vec<EvidenceItem>,
}

/// One run or runner in the evidence of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvidenceItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The measured value or the cause, for people.
    pub detail: String,
}

/// The cause of a rollback: a trigger that is hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub trigger: Trigger,
    pub evidence: Evidence,
    /// The latest job in the evidence.
    #[serde(default)]
    pub job: Option<JobId>,
    /// True if an untrusted job reached a self-hosted runner. The canary then begins again.
    #[serde(default)]
    pub is_misroute: bool,
}

/// The judgement of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The trigger with its evidence. The evidence states the measured value even if the trigger is not hit.
    pub cause: Cause,
    /// False if there is too little data.
    pub judged: bool,
    pub hit: bool,
}

/// Runners that should be online and are offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The missing runners, in one sentence.
    pub summary: String,
    /// The missing runners.
    pub runners: Vec<EvidenceItem>,
    pub since: DateTime<Utc>,
    /// The time of jitgate's attempt to recover them.
    pub recovery_attempted_at: Option<DateTime<Utc>>,
}
