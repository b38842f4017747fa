//! The times of a job, and the mark that counts its routing verdict once. Both are parts of its record.

use crate::domain::decision::Decision;
use crate::domain::event::{Action, JobEvent};
use crate::domain::ids::DeliveryId;
use crate::domain::routing_verdict::RoutingVerdict;
use crate::domain::trust::Trust;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Number of characters kept of a conclusion.
const MAX_CONCLUSION_CHARS: usize = 40;

/// The times of a job, as GitHub's events show them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobTiming {
    pub created_at: Option<DateTime<Utc>>,
    /// The start on a runner. GitHub shows another time here while the job is queued, which is not stored.
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// The time from the start to the first own step, in milliseconds; only for a job on one of our runners.
    pub setup_ms: Option<u64>,
    pub conclusion: Option<String>,
    /// The arrival of the first delivery.
    pub first_received_at: Option<DateTime<Utc>>,
    /// The first decision with a trust verdict.
    pub first_decided_at: Option<DateTime<Utc>>,
}

impl JobTiming {
    /// Adds an event with its decision. Events can arrive twice and in any order.
    pub(super) fn note(&mut self, event: &JobEvent, decision: &Decision, is_on_ours: bool) {
        let job = &event.job;
        let first = |known: Option<DateTime<Utc>>, new| Some(known.map_or(new, |known| known.min(new)));
        self.first_received_at = first(self.first_received_at, decision.received_at);
        if decision.trust.verdict != Trust::Unknown {
            self.first_decided_at = first(self.first_decided_at, decision.decided_at);
        }
        self.created_at = self.created_at.or(job.created_at);
        let has_started = matches!(event.action, Action::InProgress | Action::Completed) && job.runner.is_some();
        self.started_at = job.started_at.filter(|_| has_started).or(self.started_at);
        if event.action != Action::Completed {
            return;
        }
        let end = job.completed_at.unwrap_or(decision.received_at);
        self.completed_at.get_or_insert(end);
        if let Some(conclusion) = &job.conclusion {
            self.conclusion = Some(conclusion.chars().take(MAX_CONCLUSION_CHARS).collect());
        }
        if is_on_ours {
            let setup = job
                .setup_latency()
                .and_then(|took| u64::try_from(took.as_millis()).ok());
            self.setup_ms = setup.or(self.setup_ms);
        }
    }
}

/// The routing verdict with which a job counts outside of the measured runs, in the tally of its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// None if the job does not count any more.
    pub verdict: Option<RoutingVerdict>,
    /// The verdict before.
    pub previous: Option<RoutingVerdict>,
    /// The delivery whose decision changed the verdict. Processing it again may find the tally unchanged.
    pub by: DeliveryId,
}
