//! The actions that follow from the verdicts.

use super::input::Input;
use super::record::Action;
use crate::domain::admission::{self, Admission, AdmissionVerdict};
use crate::domain::alert::AlertKind;
use crate::domain::event::{Action as EventAction, JobStatus};
use crate::domain::facts::{Fact, Facts};
use crate::domain::ids::RunnerId;
use crate::domain::labels::LabelsClass;
use crate::domain::reason::Reason;
use crate::domain::routing::{RoutingVerdict, Situation};
use crate::domain::trust::{self, Trust};
use chrono::TimeDelta;

/// Time that trust can stay undecided before an alert.
pub const UNDECIDED_ALERT_DELAY: TimeDelta = TimeDelta::seconds(300);

/// Number of consecutive attempts without an answer about a trusted job before an alert: one fault after a long wait
/// for a slot is no lasting fault.
const MIN_OWED_ATTEMPTS: u32 = 4;

/// The actions of a decision, separated into those of both modes and those of `enforce` only.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) always: Vec<Action>,
    pub(super) enforced: Vec<Action>,
}

impl Steps {
    pub(super) fn act(&mut self, action: Action) {
        if !self.always.contains(&action) {
            self.always.push(action);
        }
    }

    pub(super) fn enforce(&mut self, action: Action) {
        if !self.enforced.contains(&action) {
            self.enforced.push(action);
        }
    }
}

/// Returns true if GitHub's live record shows the job as completed or has disappeared.
pub(super) fn is_over_at_github(facts: &Facts) -> bool {
    match &facts.live_job {
        Fact::Known(live) => live.status == JobStatus::Completed,
        Fact::Gone => true,
        Fact::NotAsked | Fact::Failed(_) => false,
    }
}

/// Plans the actions that follow from routing and admission.
pub(super) fn plan_routing(
    input: &Input<'_>,
    s: &Situation,
    verdict: RoutingVerdict,
    admission: &Admission,
    steps: &mut Steps,
) {
    let Input {
        event, facts, policy, ..
    } = *input;
    let over = event.action == EventAction::Completed;
    let beyond_doubt = trust::is_beyond_doubt(facts, &policy.trust);
    let is_refused = admission.verdict == AdmissionVerdict::Deny
        && admission::still_waits(&admission.reasons)
        && !facts.ledger.at_gate;
    let refused_for = |reason| is_refused && admission.reasons.contains(&reason);
    // Only GitHub's live record of the job is evidence against a person.
    let shown_alive = facts
        .live_job
        .known()
        .is_some_and(|live| live.status != JobStatus::Completed);
    match admission.verdict {
        AdmissionVerdict::Admit if !facts.ledger.at_gate => steps.act(Action::Provision),
        AdmissionVerdict::Hold if !over => steps.act(Action::Retry),
        _ => {}
    }
    match verdict {
        RoutingVerdict::NotRouted => {
            steps.act(Action::Alert(AlertKind::TrustedNotRouted));
            if beyond_doubt && facts.live_job.known().is_some() {
                steps.enforce(Action::Rollback);
            } else {
                ask_again(input, steps);
            }
        }
        RoutingVerdict::Attempt | RoutingVerdict::Misroute => {
            let accuses = trust::may_accuse(facts, &policy.trust) == Some(true);
            if !over && shown_alive && accuses {
                steps.enforce(Action::CancelRun);
            }
            steps.act(Action::Alert(AlertKind::UntrustedOnSelfHosted));
            let counts = verdict == RoutingVerdict::Misroute || policy.rollback_on_attempt;
            let confirmed = facts.live_job.known().is_some();
            if confirmed && (s.step_ran || (counts && accuses && beyond_doubt)) {
                steps.enforce(Action::Rollback);
            } else {
                ask_again(input, steps);
            }
        }
        RoutingVerdict::Misconfigured => steps.act(Action::Alert(AlertKind::MisconfiguredLabels)),
        RoutingVerdict::Drain
            if (refused_for(Reason::RolledBack) || refused_for(Reason::Stopped))
                && policy.rerun_stuck
                && shown_alive =>
        {
            steps.enforce(Action::CancelRun);
            if admission.reasons.len() == 1 {
                steps.enforce(Action::RerunRun);
            }
        }
        RoutingVerdict::Correct | RoutingVerdict::Drain | RoutingVerdict::Unjudged => {}
    }
    if s.trust == Trust::Trusted && refused_for(Reason::PublicRepository) {
        // Routing sends the job here, but this host does not serve it.
        steps.act(Action::Alert(AlertKind::JobStuck));
    }
    if s.trust == Trust::Trusted && is_refused && shown_alive && admission.reasons.iter().any(Reason::is_final) {
        // Otherwise the job, and its concurrency group, would wait at GitHub for a day.
        steps.enforce(Action::CancelRun);
    }
    let owed =
        admission.verdict == AdmissionVerdict::Hold && !admission.reasons.iter().all(Reason::is_lifted_by_the_pool);
    let waits_for_long =
        input.now - input.received_at >= UNDECIDED_ALERT_DELAY && facts.ledger.attempts >= MIN_OWED_ATTEMPTS;
    if s.trust == Trust::Trusted && owed && waits_for_long && !over {
        // The last answers before the creation of a runner are missing, perhaps because jitgate lacks a permission.
        steps.act(Action::Alert(AlertKind::JobStuck));
    }
    let undecided = s.trust == Trust::Unknown && s.class.could_reach_us() && !over;
    if undecided && input.now - input.received_at >= UNDECIDED_ALERT_DELAY {
        steps.act(Action::Alert(AlertKind::TrustUndecided));
    }
}

/// Plans a retry if GitHub owes an answer that an accusation depends on. Containment does not wait for it.
fn ask_again(input: &Input<'_>, steps: &mut Steps) {
    let facts = input.facts;
    let owed = matches!(facts.pulls, Fact::Failed(_))
        || matches!(facts.live_job, Fact::Failed(_))
        || matches!(facts.changes_workflows, Fact::Failed(_))
        || matches!(facts.retargeted, Fact::Failed(_))
        || facts.permissions.values().any(|fact| matches!(fact, Fact::Failed(_)));
    let over = input.event.action == EventAction::Completed;
    if owed && !over && !admission::is_stale(&input.event.job, input.now) {
        steps.act(Action::Retry);
    }
}

/// Plans the actions that follow from the runner that took the job.
pub(super) fn plan_runner(input: &Input<'_>, s: &Situation, admission: &Admission, steps: &mut Steps) {
    let Input { event, facts, .. } = *input;
    let over = event.action == EventAction::Completed;
    let may_run_here = s.trust == Trust::Trusted && s.class == LabelsClass::Pool;
    let may_yet_run_here = s.trust == Trust::Unknown && s.class == LabelsClass::Pool;
    let is_on = |id: RunnerId| facts.live_job.known().is_some_and(|live| live.runner_id == Some(id));
    match &facts.ledger.taken_by {
        Some(runner) if may_run_here && runner.made_for == event.job.id => {}
        // The job was admitted for this runner, and the job gate asks by itself. A missing answer now undoes neither.
        Some(runner) if may_yet_run_here && runner.made_for == event.job.id => {}
        Some(runner) if !is_on(runner.id) => {
            // GitHub's live record does not confirm the event. The job gate lets no step start meanwhile.
            let owed = matches!(facts.live_job, Fact::Failed(_));
            if owed && !over && !admission::is_stale(&event.job, input.now) {
                steps.act(Action::Retry);
            }
        }
        Some(_) if may_run_here => steps.act(Action::Rebind),
        Some(_) => {
            steps.act(Action::DestroyRunner);
            steps.act(Action::Alert(AlertKind::StolenRunner));
            if s.trust == Trust::Unknown {
                if admission.verdict != AdmissionVerdict::Deny {
                    steps.act(Action::Retry);
                }
            } else {
                if !over {
                    steps.enforced.retain(|action| *action != Action::CancelRun);
                    if s.trust != Trust::Untrusted || trust::may_accuse(facts, &input.policy.trust) == Some(true) {
                        steps.enforce(Action::ForceCancelRun);
                    }
                }
                if s.step_ran {
                    steps.enforce(Action::Rollback);
                }
            }
        }
        None if over && facts.ledger.served && is_over_at_github(facts) => steps.act(Action::DestroyRunner),
        None => {}
    }
}
