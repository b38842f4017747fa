//! Routing: whether a job was sent where it belongs. Trusted on self-hosted, everything else on hosted.

use super::event::JobEvent;
use super::facts::{Base, Fact, Facts};
use super::labels::LabelsClass;
use super::policy::Policy;
pub use super::routing_verdict::{RoutingState, RoutingVerdict};
use super::trust::{self, Trust};
use chrono::TimeDelta;

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
    /// Whether the routing rule decided where the job runs: its workflow follows the variable, and the pull request has
    /// always been one into a branch that the rule covers. None while that is not known.
    pub rule_applies: Option<bool>,
    /// Whether the host let something through on the job's runner that was not this job.
    pub step_ran: bool,
}

impl Situation {
    /// Sums up what the table needs of an event whose trust is judged.
    #[must_use]
    pub fn of(event: &JobEvent, facts: &Facts, policy: &Policy, trust: Trust) -> Self {
        let evidence = trust::pulls_are_evidence(facts, &policy.trust);
        let routed = facts.run.known().is_some_and(|run| policy.routing.routes(&run.path));
        let covered = bases_are_covered(facts, policy);
        let taken_by = facts.ledger.taken_by.as_ref();
        Self {
            state: state(facts),
            trust,
            class: policy.labels.classify(&event.job),
            has_trust_label: policy.labels.has_trust_label(&event.job.labels),
            belongs_here: evidence && routed && covered != Some(false) && !policy.routing.stays_hosted(&event.job.name),
            changes_workflows: facts.changes_workflows.known().copied().filter(|_| evidence),
            rule_applies: match (routed, covered, &facts.retargeted) {
                (false, ..) | (_, Some(false), _) | (.., Fact::Known(true)) => Some(false),
                (true, Some(true), Fact::Known(false)) => Some(true),
                _ => None,
            },
            step_ran: taken_by.is_some_and(|runner| runner.passed_gate),
        }
    }
}

/// Whether every pull request at the run's commit is one into a branch that the routing rule covers; none when a base is
/// not known.
#[must_use]
pub fn bases_are_covered(facts: &Facts, policy: &Policy) -> Option<bool> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let mut answer = Some(true);
    for pull in trust::pulls_at_head(pulls, run) {
        let covered = |base: &Base| base.is_default || policy.routing.branches.is_match(&base.branch);
        match pull.base.as_ref().map(covered) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => answer = None,
        }
    }
    answer
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
        (_, Untrusted, Pool | Reachable) if s.step_ran => Misroute,
        // What is not known counts as the outsider's doing: the other answer would let anyone switch routing off.
        (_, Untrusted, Pool) if s.rule_applies == Some(true) && s.changes_workflows == Some(false) => Misroute,
        (_, Untrusted, Pool | Reachable) => Attempt,
        (_, Ineligible, Pool | Reachable) => Misconfigured,
        (_, Untrusted | Ineligible, Foreign | Hosted) => Correct,
        (Unreadable, Trusted, Pool) => Unjudged,
        (_, Unknown, _) => Unjudged,
    }
}
