//! Routing: whether a job was sent where it belongs. Trusted on self-hosted, everything else on hosted.

use super::event::JobEvent;
use super::facts::{Fact, Facts};
use super::labels::LabelsClass;
use super::policy::Policy;
use super::trust::{self, Trust};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// Whether the repository's variable sends trusted jobs to self-hosted runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingState {
    /// The variable is `true`.
    On,
    /// It is absent or anything else.
    Off,
    /// It could not be read, or changed after the run was created.
    Unknown,
}

impl RoutingState {
    /// The word used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// What the routing of one job amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingVerdict {
    /// Where it belongs.
    Correct,
    /// Trusted, routing is on, and yet not on self-hosted. A mismatch.
    NotRouted,
    /// An outsider wrote our labels, and was contained.
    Attempt,
    /// The routing rule itself is broken, or an untrusted step ran. A mismatch.
    Misroute,
    /// Trusted and on self-hosted while routing is off.
    Drain,
    /// Labels nobody meant: a mistake in a workflow.
    Misconfigured,
    /// Not enough is known.
    Unjudged,
}

impl RoutingVerdict {
    /// The word used in records, metrics and alert labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::NotRouted => "not-routed",
            Self::Attempt => "attempt",
            Self::Misroute => "misroute",
            Self::Drain => "drain",
            Self::Misconfigured => "misconfigured",
            Self::Unjudged => "unjudged",
        }
    }
}

/// No job of a run starts sooner after the run's creation, so none has read the variable before.
const FIRST_JOB_STARTS: TimeDelta = TimeDelta::seconds(2);
/// A run can be re-run for 30 days and last 35: a variable that changed later than this after it says nothing.
const RUN_LIFETIME: TimeDelta = TimeDelta::days(65);

/// What the variable says about the run.
#[must_use]
pub fn state(facts: &Facts) -> RoutingState {
    match &facts.variable {
        Fact::NotAsked | Fact::Failed(_) => RoutingState::Unknown,
        Fact::Gone => RoutingState::Off,
        Fact::Known(variable) if !variable.is_true() => RoutingState::Off,
        Fact::Known(variable) => {
            let created = facts.run.known().and_then(|run| run.created_at);
            let changed_under_way = match (created, variable.updated_at) {
                (Some(created), Some(updated)) => {
                    let age = updated - created;
                    age > FIRST_JOB_STARTS && age < RUN_LIFETIME
                }
                _ => false,
            };
            if changed_under_way {
                // Its route job may have read the old value; a re-run of failed jobs keeps that answer.
                RoutingState::Unknown
            } else {
                RoutingState::On
            }
        }
    }
}

/// What the routing table looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Whether routing is on.
    pub state: RoutingState,
    /// The trust verdict.
    pub trust: Trust,
    /// What the labels could reach.
    pub class: LabelsClass,
    /// Whether the trust label is among the job's labels.
    pub has_trust_label: bool,
    /// Whether a trusted job of this workflow and name belongs on self-hosted runners.
    pub belongs_here: bool,
    /// Whether the pull request changes something under `.github/`; none when that is not known of this very commit.
    pub changes_workflows: Option<bool>,
    /// Whether a step of the job ran on a runner of ours.
    pub step_ran: bool,
}

impl Situation {
    /// Sums up what the table needs of an event whose trust is judged.
    #[must_use]
    pub fn of(event: &JobEvent, facts: &Facts, policy: &Policy, trust: Trust) -> Self {
        let evidence = trust::pulls_are_evidence(facts, &policy.trust);
        let routed = facts.run.known().is_some_and(|run| policy.routing.routes(&run.path));
        let taken_by = facts.ledger.taken_by.as_ref();
        Self {
            state: state(facts),
            trust,
            class: policy.labels.classify(&event.job),
            has_trust_label: policy.labels.has_trust_label(&event.job.labels),
            belongs_here: evidence && routed && !policy.routing.stays_hosted(&event.job.name),
            changes_workflows: facts.changes_workflows.known().copied().filter(|_| evidence),
            step_ran: taken_by.is_some_and(|runner| runner.passed_gate || event.job.ran_a_step()),
        }
    }
}

/// The routing table. The first row that matches decides.
#[must_use]
pub fn judge(s: &Situation) -> RoutingVerdict {
    use LabelsClass::{Foreign, Hosted, Pool, Reachable};
    use RoutingState::{Off, On, Unknown as Unreadable};
    use RoutingVerdict::{Attempt, Correct, Drain, Misconfigured, Misroute, NotRouted, Unjudged};
    use Trust::{Ineligible, Trusted, Unknown, Untrusted};
    match (s.state, s.trust, s.class) {
        (On, Trusted, Pool) => Correct,
        (_, Trusted, Foreign) if s.has_trust_label => Misconfigured,
        (On, Trusted, Hosted | Foreign | Reachable) if s.belongs_here => NotRouted,
        (_, Trusted, Hosted | Foreign | Reachable) => Correct,
        (Off, Trusted, Pool) => Drain,
        // Unknown changes count as the outsider's doing: the other answer would let anyone switch routing off.
        (_, Untrusted, Pool | Reachable) if s.step_ran || s.changes_workflows == Some(false) => Misroute,
        (_, Untrusted, Pool | Reachable) => Attempt,
        (_, Ineligible, Pool | Reachable) => Misconfigured,
        (_, Untrusted | Ineligible, Foreign | Hosted) => Correct,
        (Unreadable, Trusted, Pool) => Unjudged,
        (_, Unknown, _) => Unjudged,
    }
}
