//! The decision record (contract 3) and the actions it can hold. Actions are carried out in the order they have here.

use crate::domain::admission::{Admission, AdmissionVerdict};
use crate::domain::alert::AlertKind;
use crate::domain::event::Action as EventAction;
use crate::domain::ids::{DeliveryId, JobId, RepositoryName, RunId};
use crate::domain::labels::LabelsClass;
use crate::domain::reason::Reason;
use crate::domain::routing::{RoutingState, RoutingVerdict};
use crate::domain::trust::Trust;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The decision record (contract 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// GUID of the delivery.
    pub delivery: DeliveryId,
    /// When it came in.
    pub received_at: DateTime<Utc>,
    /// When this was decided.
    pub decided_at: DateTime<Utc>,
    /// The event's action.
    pub action: EventAction,
    /// The repository.
    pub repository: RepositoryName,
    /// The job.
    pub job: JobSummary,
    /// What its labels could reach.
    pub labels_class: LabelsClass,
    /// The trust verdict.
    pub trust: TrustSummary,
    /// The routing verdict.
    pub routing: RoutingSummary,
    /// Whether a runner is made.
    pub admission: Admission,
    /// What is done.
    pub actions: Vec<Action>,
    /// What would be done besides if `rollout.mode` were `enforce`.
    pub would: Vec<Action>,
    /// What a person should know, without consequences.
    pub warnings: Vec<String>,
    /// Who opened the pull request, where that is known.
    pub author: Option<String>,
}

impl Decision {
    /// Returns each reason of the trust verdict and of admission once.
    #[must_use]
    pub fn reasons(&self) -> Vec<&Reason> {
        let mut reasons: Vec<&Reason> = Vec::new();
        for reason in self.trust.reasons.iter().chain(&self.admission.reasons) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons
    }

    /// Whether a trusted job waits at GitHub for a runner that it never gets, and nobody hears of it. A run whose head has
    /// moved is cancelled in `enforce`, which is all there is to say.
    #[must_use]
    pub fn leaves_a_job_waiting(&self) -> bool {
        let cancels = |actions: &[Action]| actions.contains(&Action::CancelRun);
        let waits_in_vain = self.trust.verdict == Trust::Trusted
            && self.admission.verdict == AdmissionVerdict::Deny
            && (cancels(&self.actions) || cancels(&self.would));
        let reruns = self.actions.contains(&Action::RerunRun) || self.would.contains(&Action::RerunRun);
        let superseded = self.admission.reasons == [Reason::HeadMoved] && cancels(&self.actions);
        waits_in_vain && !reruns && !superseded && !self.admission.reasons.contains(&Reason::RolledBack)
    }
}

/// The job a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its id.
    pub id: JobId,
    /// Its name, as written by whoever edits the workflow.
    pub name: String,
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub run_attempt: u32,
    /// The commit.
    pub head_sha: String,
    /// What it asked for.
    pub labels: Vec<String>,
}

/// The trust part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustSummary {
    /// The verdict.
    pub verdict: Trust,
    /// Number of the pull request.
    pub pull_request: Option<u64>,
    /// Why it is not trusted.
    pub reasons: Vec<Reason>,
}

/// The routing part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingSummary {
    /// Whether routing is on.
    pub state: RoutingState,
    /// The verdict.
    pub verdict: RoutingVerdict,
}

/// Something a decision has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Action {
    /// Make a runner for the job.
    Provision,
    /// Destroy the runner that took the job, or that was made for it.
    DestroyRunner,
    /// Bind the runner to the job that took it.
    Rebind,
    /// Cancel the job's run, past `always()` steps.
    ForceCancelRun,
    /// Cancel the job's run.
    CancelRun,
    /// Run the whole run again, so that it is routed anew.
    RerunRun,
    /// Tell the operator.
    Alert(AlertKind),
    /// Switch self-hosted routing off.
    Rollback,
    /// Decide again later.
    Retry,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provision => "provision",
            Self::CancelRun => "cancel-run",
            Self::ForceCancelRun => "force-cancel-run",
            Self::RerunRun => "rerun-run",
            Self::DestroyRunner => "destroy-runner",
            Self::Rebind => "rebind",
            Self::Rollback => "rollback",
            Self::Alert(kind) => return write!(f, "alert:{}", kind.as_str()),
            Self::Retry => "retry",
        })
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.to_string()
    }
}

impl TryFrom<String> for Action {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = [
            Self::Provision,
            Self::CancelRun,
            Self::ForceCancelRun,
            Self::RerunRun,
            Self::DestroyRunner,
            Self::Rebind,
            Self::Rollback,
            Self::Retry,
        ];
        let alerts = AlertKind::ALL.iter().map(|kind| Self::Alert(*kind));
        plain
            .into_iter()
            .chain(alerts)
            .find(|action| action.to_string() == text)
            .ok_or_else(|| format!("no action is called {text:?}"))
    }
}
