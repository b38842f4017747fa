//! The decision record and its actions. Actions are executed in the order of their declaration.

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

/// The decision record. Its JSON form is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The GUID of the delivery.
    pub delivery: DeliveryId,
    /// The arrival time of the delivery.
    pub received_at: DateTime<Utc>,
    pub decided_at: DateTime<Utc>,
    pub action: EventAction,
    pub repository: RepositoryName,
    pub job: JobSummary,
    pub labels_class: LabelsClass,
    pub trust: TrustSummary,
    pub routing: RoutingSummary,
    pub admission: Admission,
    /// The actions that are executed.
    pub actions: Vec<Action>,
    /// The actions that would also be executed if `rollout.mode` were `enforce`.
    pub would: Vec<Action>,
    /// Remarks for the operator, without consequences.
    pub warnings: Vec<String>,
    /// The author of the pull request, if known.
    pub author: Option<String>,
    /// True if jitgate synthesized the event because GitHub's delivery did not arrive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub synthesized: bool,
    /// True if jitgate started the attempt because a job was lost with its machine. The rules about the triggering actor
    /// did not apply then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_rerun: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
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

    /// Returns true if a trusted job waits at GitHub for a runner that it never gets, without an alert. A run whose
    /// head has moved is cancelled in `enforce` and needs no alert.
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

/// The job of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    pub id: JobId,
    /// The displayed name. Anyone who edits the workflow can choose it.
    pub name: String,
    pub run_id: RunId,
    pub run_attempt: u32,
    pub head_sha: String,
    pub labels: Vec<String>,
}

/// The trust part of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustSummary {
    pub verdict: Trust,
    pub pull_request: Option<u64>,
    pub reasons: Vec<Reason>,
}

/// The routing part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingSummary {
    pub state: RoutingState,
    pub verdict: RoutingVerdict,
}

/// An action of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Action {
    /// Create a runner for the job.
    Provision,
    /// Destroy the runner that took the job or was created for it.
    DestroyRunner,
    /// Assign the runner to the job that took it.
    Rebind,
    /// Cancel the job's run, including its `always()` steps.
    ForceCancelRun,
    /// Cancel the job's run.
    CancelRun,
    /// Re-run the whole run, so that it is routed again.
    RerunRun,
    /// Raise an alert.
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
