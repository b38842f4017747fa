//! From an event and its facts to the record: routing, admission, and the actions that follow from them.

use super::record::{Action, Decision, JobSummary, RoutingSummary, TrustSummary};
use crate::domain::admission::{self, Admission, AdmissionVerdict, asks_for_a_runner};
use crate::domain::alert::AlertKind;
use crate::domain::event::{Action as EventAction, JobEvent, JobStatus};
use crate::domain::facts::{Admitted, Fact, Facts};
use crate::domain::ids::{DeliveryId, RepositoryName, RunnerId};
use crate::domain::labels::LabelsClass;
use crate::domain::pin;
use crate::domain::policy::{Mode, Policy};
use crate::domain::routing::{self, RoutingState, RoutingVerdict, Situation};
use crate::domain::trust::{self, Judgement, Trust};
use chrono::{DateTime, TimeDelta, Utc};

/// What a decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// GUID of the delivery.
    pub delivery: &'a DeliveryId,
    /// When it came in.
    pub received_at: DateTime<Utc>,
    /// The repository, as configured.
    pub repository: &'a RepositoryName,
    /// The event.
    pub event: &'a JobEvent,
    /// All that is known about it.
    pub facts: &'a Facts,
    /// The operator's choices.
    pub policy: &'a Policy,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// Refusals that no later event lifts: with them the job would wait until GitHub fails it.
const FINAL_REFUSALS: &[&str] = &[
    "head-moved",
    "pull-request-closed",
    "bot-triggering-actor",
    "author-permission:",
    "actor-permission:",
    "triggering-actor-permission:",
    "commit-author",
    "commits-unknown",
    "unverified-commit",
];

/// How long trust may stay undecided before the operator is told.
pub const UNDECIDED_AFTER: TimeDelta = TimeDelta::seconds(300);

/// How many tries in a row GitHub may owe an answer about a trusted job before the operator can be told: one fault after a long
/// wait for room is none that lasts.
const OWED_ATTEMPTS: u32 = 4;

/// Decides. Missing facts count as unknown, and unknown never makes a runner.
#[must_use]
pub fn decide(input: &Input<'_>) -> Decision {
    let Input {
        event, facts, policy, ..
    } = *input;
    let mut steps = Steps::default();
    if let Some(admitted) = &facts.ledger.admitted {
        return kept(input, admitted);
    }
    if facts.live_job.known().is_some_and(|live| !live.agrees_with(&event.job)) {
        let reasons = vec!["job-mismatch".to_owned()];
        let judgement = Judgement {
            reasons: reasons.clone(),
            ..not_judged()
        };
        let admission = Admission::new(AdmissionVerdict::Deny, reasons);
        return record(input, judgement, RoutingVerdict::Unjudged, admission, steps);
    }
    if event.job.was_skipped() {
        if is_over_at_github(facts) && (facts.ledger.served || facts.ledger.taken_by.is_some()) {
            steps.act(Action::DestroyRunner);
        }
        return record(input, not_judged(), RoutingVerdict::Unjudged, none(), steps);
    }
    if pin::is_changed(event, facts) {
        return of_another_repository(input, steps);
    }
    let judgement = judge_trust(input);
    let situation = Situation::of(event, facts, policy, judgement.trust);
    let verdict = routing::judge(&situation);
    let admission = admit(input, &situation, verdict, &judgement);
    plan_routing(input, &situation, verdict, &admission, &mut steps);
    plan_runner(input, &situation, &admission, &mut steps);
    record(input, judgement, verdict, admission, steps)
}

/// Nothing is done in a repository that only bears the name of ours, and it gets no runner. What runs already was admitted.
fn of_another_repository(input: &Input<'_>, mut steps: Steps) -> Decision {
    let Input { event, facts, .. } = *input;
    let over = event.action == EventAction::Completed;
    match &facts.ledger.taken_by {
        Some(runner) if runner.passed_gate => {}
        Some(_) => steps.act(Action::DestroyRunner),
        None if over && facts.ledger.served => steps.act(Action::DestroyRunner),
        None => {}
    }
    steps.act(Action::Alert(AlertKind::RepositoryChanged));
    let reasons = vec![pin::REPOSITORY_CHANGED.to_owned()];
    let admission = match event.action {
        EventAction::Queued => Admission::new(AdmissionVerdict::Deny, reasons.clone()),
        _ => none(),
    };
    let judgement = Judgement {
        trust: Trust::Untrusted,
        pull_request: None,
        reasons,
    };
    record(input, judgement, RoutingVerdict::Unjudged, admission, steps)
}

/// What a decision has done, split by whether `observe` leaves it out.
#[derive(Debug, Default)]
struct Steps {
    always: Vec<Action>,
    enforced: Vec<Action>,
}

impl Steps {
    fn act(&mut self, action: Action) {
        if !self.always.contains(&action) {
            self.always.push(action);
        }
    }

    fn enforce(&mut self, action: Action) {
        if !self.enforced.contains(&action) {
            self.enforced.push(action);
        }
    }
}

fn none() -> Admission {
    Admission::new(AdmissionVerdict::None, Vec::new())
}

fn not_judged() -> Judgement {
    Judgement {
        trust: Trust::Unknown,
        pull_request: None,
        reasons: Vec::new(),
    }
}

/// The routing rule's answer. While GitHub may not show the cause of the event yet, what its lists lack decides nothing about
/// a job of the repository's own that could reach us.
fn judge_trust(input: &Input<'_>) -> Judgement {
    let Input {
        event, facts, policy, ..
    } = *input;
    let mut judgement = trust::judge(facts, &policy.trust);
    let is_their_own = trust::is_their_own(facts, &policy.trust);
    let reaches_us = policy.labels.classify(&event.job).could_reach_us() && event.action != EventAction::Completed;
    if judgement.trust == Trust::Untrusted && facts.ledger.catching_up && !is_their_own && reaches_us {
        judgement.trust = Trust::Unknown;
    }
    judgement
}

/// The record of an event about a job that has passed its gate: its verdict stands, and nothing follows.
fn kept(input: &Input<'_>, admitted: &Admitted) -> Decision {
    let judgement = Judgement {
        trust: Trust::Trusted,
        pull_request: admitted.pull_request,
        reasons: Vec::new(),
    };
    let mut decision = record(input, judgement, admitted.verdict, none(), Steps::default());
    decision.routing.state = admitted.state;
    decision.author.clone_from(&admitted.author);
    decision
}

/// Whether GitHub itself shows the job as over.
fn is_over_at_github(facts: &Facts) -> bool {
    match &facts.live_job {
        Fact::Known(live) => live.status == JobStatus::Completed,
        Fact::Gone => true,
        Fact::NotAsked | Fact::Failed(_) => false,
    }
}

fn admit(input: &Input<'_>, s: &Situation, verdict: RoutingVerdict, judgement: &Judgement) -> Admission {
    let Input {
        event,
        facts,
        policy,
        now,
        ..
    } = *input;
    let refuse = |mut reasons: Vec<String>| {
        if s.class != LabelsClass::Pool {
            reasons.push(format!("labels:{}", s.class.as_str()));
        }
        Admission::new(AdmissionVerdict::Deny, reasons)
    };
    let mut reasons = judgement.reasons.clone();
    match (s.trust, s.class) {
        (Trust::Trusted, LabelsClass::Pool) => {
            if facts.ledger.at_gate {
                admission::judge(event, facts, &policy.trust, now)
            } else if !asks_for_a_runner(event, &facts.ledger) {
                none()
            } else if verdict == RoutingVerdict::Drain && facts.ledger.rolled_back {
                reasons.push("rolled-back".to_owned());
                reasons.extend(admission::refusals_at_hand(event, facts, &policy.trust, now));
                refuse(reasons)
            } else {
                admission::judge(event, facts, &policy.trust, now)
            }
        }
        (Trust::Unknown, LabelsClass::Pool | LabelsClass::Reachable) => {
            if admission::is_stale(&event.job, now) {
                reasons.push("stale".to_owned());
                refuse(reasons)
            } else if run_is_gone(facts, judgement) {
                refuse(reasons)
            } else {
                Admission::new(AdmissionVerdict::Hold, reasons)
            }
        }
        (Trust::Untrusted | Trust::Ineligible, LabelsClass::Pool | LabelsClass::Reachable) => refuse(reasons),
        (Trust::Trusted, LabelsClass::Foreign) if verdict == RoutingVerdict::Misconfigured => refuse(reasons),
        (Trust::Trusted, LabelsClass::Hosted) if s.belongs_here && s.state == RoutingState::Off => {
            Admission::new(AdmissionVerdict::None, vec!["routing-off".to_owned()])
        }
        _ => none(),
    }
}

/// GitHub has said often enough that there is no such run.
fn run_is_gone(facts: &Facts, judgement: &Judgement) -> bool {
    judgement.reasons.iter().any(|reason| reason == "run-gone") && facts.ledger.attempts >= admission::GONE_ATTEMPTS
}

/// Actions that follow from the routing table and from admission.
fn plan_routing(input: &Input<'_>, s: &Situation, verdict: RoutingVerdict, admission: &Admission, steps: &mut Steps) {
    let Input {
        event, facts, policy, ..
    } = *input;
    let over = event.action == EventAction::Completed;
    let beyond_doubt = trust::is_beyond_doubt(facts, &policy.trust);
    let is_refused = admission.verdict == AdmissionVerdict::Deny
        && admission::still_waits(&admission.reasons)
        && !facts.ledger.at_gate;
    let refused_for = |code: &str| is_refused && admission.reasons.iter().any(|r| r == code);
    // Only the job as GitHub shows it is held against anybody.
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
        RoutingVerdict::Drain if refused_for("rolled-back") && policy.rerun_stuck && shown_alive => {
            steps.enforce(Action::CancelRun);
            if admission.reasons.len() == 1 {
                steps.enforce(Action::RerunRun);
            }
        }
        RoutingVerdict::Correct | RoutingVerdict::Drain | RoutingVerdict::Unjudged => {}
    }
    if s.trust == Trust::Trusted && refused_for("public-repository") {
        // Routing sends it here, and nobody here serves it.
        steps.act(Action::Alert(AlertKind::JobStuck));
    }
    let is_final = |reason: &String| FINAL_REFUSALS.iter().any(|code| reason.starts_with(code));
    if s.trust == Trust::Trusted && is_refused && shown_alive && admission.reasons.iter().any(is_final) {
        // It would wait at GitHub for a day, and its concurrency group with it.
        steps.enforce(Action::CancelRun);
    }
    let by_ledger = |reason: &String| reason == "quarantined" || reason == "at-capacity";
    let owed = admission.verdict == AdmissionVerdict::Hold && !admission.reasons.iter().all(by_ledger);
    let waits_for_long = input.now - input.received_at >= UNDECIDED_AFTER && facts.ledger.attempts >= OWED_ATTEMPTS;
    if s.trust == Trust::Trusted && owed && waits_for_long && !over {
        // GitHub owes the last answers before a runner is made; a permission of ours may be missing.
        steps.act(Action::Alert(AlertKind::JobStuck));
    }
    let undecided = s.trust == Trust::Unknown && s.class.could_reach_us() && !over;
    if undecided && input.now - input.received_at >= UNDECIDED_AFTER {
        steps.act(Action::Alert(AlertKind::TrustUndecided));
    }
}

/// Whose fault it is stays open while GitHub owes an answer. What had to be contained is contained meanwhile.
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

/// Actions that follow from which runner took the job.
fn plan_runner(input: &Input<'_>, s: &Situation, admission: &Admission, steps: &mut Steps) {
    let Input { event, facts, .. } = *input;
    let over = event.action == EventAction::Completed;
    let may_run_here = s.trust == Trust::Trusted && s.class == LabelsClass::Pool;
    let may_yet_run_here = s.trust == Trust::Unknown && s.class == LabelsClass::Pool;
    let is_on = |id: RunnerId| facts.live_job.known().is_some_and(|live| live.runner_id == Some(id));
    match &facts.ledger.taken_by {
        Some(runner) if may_run_here && runner.made_for == event.job.id => {}
        // It was admitted for this very runner, and the job gate asks for itself: a GitHub that is silent now undoes neither.
        Some(runner) if may_yet_run_here && runner.made_for == event.job.id => {}
        Some(runner) if !is_on(runner.id) => {
            // An event says so, GitHub does not. The job gate lets nothing begin meanwhile.
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
                    if trust::may_accuse(facts, &input.policy.trust) != Some(false) || s.trust != Trust::Untrusted {
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

fn record(
    input: &Input<'_>,
    judgement: Judgement,
    verdict: RoutingVerdict,
    admission: Admission,
    steps: Steps,
) -> Decision {
    let Input {
        event, facts, policy, ..
    } = *input;
    let Steps {
        mut always,
        mut enforced,
    } = steps;
    enforced.sort_unstable();
    let would = match policy.mode {
        Mode::Enforce => {
            always.append(&mut enforced);
            Vec::new()
        }
        Mode::Observe => enforced,
    };
    always.sort_unstable();
    let mut warnings = Vec::new();
    if trust::association_agrees(facts, &policy.trust) == Some(false) {
        warnings.push("association-and-permission-disagree".to_owned());
    }
    let author = judgement.pull_request.and_then(|number| {
        let pull = facts.pulls.known()?.iter().find(|pull| pull.number == number)?;
        Some(pull.author.as_ref()?.login.clone())
    });
    // Of a job that is parked no pull request is known.
    let is_parked = judgement.reasons.iter().any(|reason| reason == trust::OVER_BUDGET);
    let actor = || Some(facts.run.known()?.actor.as_ref()?.login.clone());
    let author = author.or_else(|| is_parked.then(actor).flatten());
    let job = &event.job;
    Decision {
        delivery: input.delivery.clone(),
        received_at: input.received_at,
        decided_at: input.now,
        action: event.action,
        repository: input.repository.clone(),
        job: JobSummary {
            id: job.id,
            name: job.name.clone(),
            run_id: job.run_id,
            run_attempt: job.run_attempt,
            head_sha: job.head_sha.clone(),
            labels: job.labels.clone(),
        },
        labels_class: policy.labels.classify(job),
        trust: TrustSummary {
            verdict: judgement.trust,
            pull_request: judgement.pull_request,
            reasons: judgement.reasons,
        },
        routing: RoutingSummary {
            state: routing::state(facts),
            verdict,
        },
        admission,
        actions: always,
        would,
        warnings,
        author,
    }
}
