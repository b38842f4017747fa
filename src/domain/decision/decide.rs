//! The decision on one event: trust, routing, admission and the resulting actions.

use super::input::Input;
use super::plan::{Steps, is_over_at_github, plan_routing, plan_runner};
use super::record::{Action, Decision, JobSummary, RoutingSummary, TrustSummary};
use crate::domain::admission::{self, Admission, AdmissionVerdict, asks_for_a_runner};
use crate::domain::alert::AlertKind;
use crate::domain::event::Action as EventAction;
use crate::domain::facts::{Admitted, Facts};
use crate::domain::labels::LabelsClass;
use crate::domain::own_rerun::{self, OwnRerun};
use crate::domain::policy::Mode;
use crate::domain::reason::Reason;
use crate::domain::routing::{self, RoutingState, RoutingVerdict, Situation};
use crate::domain::trust::{self, Judgement, Trust};

/// Decides on an event. Missing facts count as unknown, and an unknown fact never leads to a runner.
#[must_use]
pub fn decide(input: &Input<'_>) -> Decision {
    let Input {
        event, facts, policy, ..
    } = *input;
    let mut steps = Steps::default();
    if let Some(admitted) = &facts.ledger.admitted {
        return keep_verdict(input, admitted);
    }
    if facts.live_job.known().is_some_and(|live| !live.agrees_with(&event.job)) {
        let reasons = vec![Reason::JobMismatch];
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
    if facts.show_another_repository(event) {
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

/// Decides on an event of a different repository with the configured name. jitgate takes no action there and creates no
/// runner. A job that passed its job gate was admitted before and continues.
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
    let reasons = vec![Reason::RepositoryChanged];
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

/// Returns the trust verdict. While GitHub may not show the cause of the event yet, an absence in its lists decides
/// nothing about a job that comes from the repository itself and could reach us.
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

/// Returns the record of an event about a job that passed its job gate: the verdict stays and no action follows.
fn keep_verdict(input: &Input<'_>, admitted: &Admitted) -> Decision {
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

fn admit(input: &Input<'_>, s: &Situation, verdict: RoutingVerdict, judgement: &Judgement) -> Admission {
    let Input {
        event,
        facts,
        policy,
        now,
        ..
    } = *input;
    let refuse = |mut reasons: Vec<Reason>| {
        if s.class != LabelsClass::Pool {
            reasons.push(Reason::Labels(s.class));
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
                reasons.push(Reason::RolledBack);
                reasons.extend(admission::refusals_at_hand(event, facts, &policy.trust, now));
                refuse(reasons)
            } else {
                admission::judge(event, facts, &policy.trust, now)
            }
        }
        (Trust::Unknown, LabelsClass::Pool | LabelsClass::Reachable) => {
            if admission::is_stale(&event.job, now) {
                reasons.push(Reason::Stale);
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
            Admission::new(AdmissionVerdict::None, vec![Reason::RoutingOff])
        }
        _ => none(),
    }
}

/// Returns true if GitHub has repeated often enough that the run does not exist.
fn run_is_gone(facts: &Facts, judgement: &Judgement) -> bool {
    judgement.reasons.contains(&Reason::RunGone) && facts.ledger.attempts >= admission::MIN_GONE_ATTEMPTS
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
    // The pull request of a parked job is not known.
    let is_parked = judgement.reasons.contains(&Reason::OverBudget);
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
        synthesized: event.synthesized,
        own_rerun: own_rerun::of(facts) == OwnRerun::Yes,
    }
}
