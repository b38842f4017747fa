//! The rollback triggers and their evidence.

use crate::domain::ids::{JobId, RunId};
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
