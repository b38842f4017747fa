//! Routing verdicts: trusted jobs belong on self-hosted runners, all others on hosted runners.

use super::event::JobEvent;
use super::facts::{Base, Fact, Facts, Run};
use super::labels::LabelsClass;
use super::own_rerun::{self, OwnRerun};
use super::policy::Policy;
pub use super::routing_verdict::{RoutingState, RoutingVerdict};
use super::trust::{self, Trust};
use chrono::TimeDelta;

/// Minimum time between the creation of a run and the start of its first job, so no job read the variable earlier.
const MIN_START_DELAY: TimeDelta = TimeDelta::seconds(2);
/// A run can be re-run for 30 days and last 35 days. A change of the variable after this time does not concern the run.
const MAX_RUN_AGE: TimeDelta = TimeDelta::days(65);

/// Returns the state of the routing variable with respect to the run.
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
                    age > MIN_START_DELAY && age < MAX_RUN_AGE
                }
                _ => false,
            };
            if changed_under_way {
                // The `route` job may have read the old value, and a re-run of failed jobs keeps its answer.
                RoutingState::Unknown
            } else {
                RoutingState::On
            }
        }
    }
}

/// The inputs of the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    pub state: RoutingState,
    pub trust: Trust,
    pub class: LabelsClass,
    /// True if the job has the trust label.
    pub has_trust_label: bool,
    /// True if a trusted job of this workflow and name belongs on self-hosted runners. A re-run by jitgate itself may use
    /// hosted runners as well, because a workflow can send the attempts of bots there.
    pub belongs_here: bool,
    /// True if the pull request changes a file under `.github/`; `None` if this is not known for the job's commit.
    pub changes_workflows: Option<bool>,
    /// True if the routing rule covers the job: its workflow follows the variable, the base of its pull request has
    /// always been a covered branch, and it has the run label if the workflow sets one. `None` while this is not known.
    pub rule_applies: Option<bool>,
    /// True if the host let a job start on the job's runner.
    pub step_ran: bool,
}

impl Situation {
    /// Collects the inputs for an event with a trust verdict.
    #[must_use]
    pub fn of(event: &JobEvent, facts: &Facts, policy: &Policy, trust: Trust) -> Self {
        let evidence = trust::pulls_are_evidence(facts, &policy.trust);
        let routed = facts.run.known().is_some_and(|run| policy.routing.routes(&run.path));
        let covered = all_bases_are_routed(facts, policy);
        let taken_by = facts.ledger.taken_by.as_ref();
        let path = facts.run.known().map(Run::workflow).unwrap_or_default();
        let lacks_its_label =
            facts.ledger.labelled_workflows.contains(path) && !policy.labels.has_run_label(&event.job);
        Self {
            state: state(facts),
            trust,
            class: policy.labels.classify(&event.job),
            has_trust_label: policy.labels.has_trust_label(&event.job.labels),
            belongs_here: evidence
                && routed
                && covered != Some(false)
                && !policy.routing.stays_hosted(&event.job.name)
                && own_rerun::of(facts) == OwnRerun::No,
            changes_workflows: facts.changes_workflows.known().copied().filter(|_| evidence),
            rule_applies: match (routed, covered, &facts.retargeted) {
                _ if lacks_its_label => Some(false),
                (false, ..) | (_, Some(false), _) | (.., Fact::Known(true)) => Some(false),
                (true, Some(true), Fact::Known(false)) => Some(true),
                _ => None,
            },
            step_ran: taken_by.is_some_and(|runner| runner.passed_gate),
        }
    }
}

/// Returns true if the bases of all pull requests at the run's commit are covered by the routing rule, and `None` if a
/// base is not known.
#[must_use]
pub fn all_bases_are_routed(facts: &Facts, policy: &Policy) -> Option<bool> {
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

/// Applies the routing table. The first matching row determines the verdict.
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
        // Unknown facts count against the outsider. Otherwise an outsider could switch routing off by hiding them.
        (_, Untrusted, Pool) if s.rule_applies == Some(true) && s.changes_workflows == Some(false) => Misroute,
        (_, Untrusted, Pool | Reachable) => Attempt,
        (_, Ineligible, Pool | Reachable) => Misconfigured,
        (_, Untrusted | Ineligible, Foreign | Hosted) => Correct,
        (Unreadable, Trusted, Pool) => Unjudged,
        (_, Unknown, _) => Unjudged,
    }
}
