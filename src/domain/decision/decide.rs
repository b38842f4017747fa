//! From an event and its facts to the record: routing, admission, and the actions that follow from them.

use super::record::{Action, Decision, JobSummary, RoutingSummary, TrustSummary};
use crate::domain::admission::{self, Admission, AdmissionVerdict, asks_for_a_runner};
use crate::domain::alert::AlertKind;
use crate::domain::event::{Action as EventAction, JobEvent};
use crate::domain::facts::{Fact, Facts};
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::domain::labels::LabelsClass;
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

/// How long trust may stay undecided before the operator is told.
pub const UNDECIDED_AFTER: TimeDelta = TimeDelta::seconds(300);

/// Decides. Missing facts count as unknown, and unknown never makes a runner.
#[must_use]
pub fn decide(input: &Input<'_>) -> Decision {
    let Input {
        event, facts, policy, ..
    } = *input;
    let class = policy.labels.classify(&event.job);
    if event.job.was_skipped() {
        return record(
            input,
            class,
            not_judged(),
            RoutingVerdict::Unjudged,
            none(),
            Steps::default(),
        );
    }
    let judgement = trust::judge(facts, &policy.trust);
    let situation = Situation {
        state: routing::state(facts),
        trust: judgement.trust,
        class,
        has_trust_label: policy.labels.has_trust_label(&event.job.labels),
        belongs_here: facts.run.known().is_some_and(|run| policy.routing.routes(&run.path))
            && !policy.routing.stays_hosted(&event.job.name),
        changes_workflows: facts.changes_workflows.known().copied(),
        step_ran: facts
            .ledger
            .taken_by
            .as_ref()
            .is_some_and(|runner| runner.passed_gate || event.job.ran_a_step()),
    };
    let verdict = routing::judge(&situation);
    let admission = admit(input, &situation, verdict, &judgement);
    let mut steps = Steps::default();
    plan_routing(input, &situation, verdict, &admission, &mut steps);
    plan_runner(input, &situation, &mut steps);
    record(input, class, judgement, verdict, admission, steps)
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
    match (s.trust, s.class) {
        (Trust::Trusted, LabelsClass::Pool) => {
            if !asks_for_a_runner(event) || facts.ledger.served {
                none()
            } else if verdict == RoutingVerdict::Drain && facts.ledger.rolled_back {
                Admission::new(AdmissionVerdict::Deny, vec!["rolled-back".to_owned()])
            } else {
                admission::judge(event, facts, &policy.trust, now)
            }
        }
        (Trust::Unknown, LabelsClass::Pool | LabelsClass::Reachable) => {
            if run_is_gone(facts) {
                Admission::new(AdmissionVerdict::Deny, judgement.reasons.clone())
            } else {
                Admission::new(AdmissionVerdict::Hold, judgement.reasons.clone())
            }
        }
        (Trust::Untrusted | Trust::Ineligible, LabelsClass::Pool | LabelsClass::Reachable) => {
            refuse(judgement.reasons.clone())
        }
        (Trust::Trusted, LabelsClass::Foreign) if verdict == RoutingVerdict::Misconfigured => refuse(Vec::new()),
        (Trust::Trusted, LabelsClass::Hosted) if s.belongs_here && s.state == RoutingState::Off => {
            Admission::new(AdmissionVerdict::None, vec!["routing-off".to_owned()])
        }
        _ => none(),
    }
}

/// GitHub has said often enough that there is no such run.
fn run_is_gone(facts: &Facts) -> bool {
    matches!(facts.run, Fact::Gone) && facts.ledger.attempts >= admission::GONE_ATTEMPTS
}

/// Actions that follow from the routing table and from admission.
fn plan_routing(input: &Input<'_>, s: &Situation, verdict: RoutingVerdict, admission: &Admission, steps: &mut Steps) {
    let Input {
        event, facts, policy, ..
    } = *input;
    let over = event.action == EventAction::Completed;
    let accused = !trust::association_disagrees(facts, &policy.trust);
    match admission.verdict {
        AdmissionVerdict::Admit => steps.act(Action::Provision),
        AdmissionVerdict::Hold if !over => steps.act(Action::Retry),
        _ => {}
    }
    match verdict {
        RoutingVerdict::NotRouted => {
            steps.act(Action::Alert(AlertKind::TrustedNotRouted));
            if accused {
                steps.enforce(Action::Rollback);
            }
        }
        RoutingVerdict::Attempt | RoutingVerdict::Misroute => {
            if !over {
                steps.enforce(Action::CancelRun);
            }
            steps.act(Action::Alert(AlertKind::UntrustedOnSelfHosted));
            let broken = verdict == RoutingVerdict::Misroute && (accused || s.step_ran);
            if broken || (verdict == RoutingVerdict::Attempt && policy.rollback_on_attempt && accused) {
                steps.enforce(Action::Rollback);
            }
            if !over && matches!(facts.changes_workflows, Fact::Failed(_)) {
                // Attempt or misroute? Contained either way; ask again.
                steps.act(Action::Retry);
            }
        }
        RoutingVerdict::Misconfigured => steps.act(Action::Alert(AlertKind::MisconfiguredLabels)),
        RoutingVerdict::Drain if facts.ledger.rolled_back && admission.verdict == AdmissionVerdict::Deny => {
            steps.enforce(Action::CancelRun);
            if policy.rerun_stuck {
                steps.enforce(Action::RerunRun);
            }
        }
        RoutingVerdict::Correct | RoutingVerdict::Drain | RoutingVerdict::Unjudged => {}
    }
    let superseded = admission.verdict == AdmissionVerdict::Deny && admission.reasons.iter().any(|r| r == "head-moved");
    if s.trust == Trust::Trusted && superseded {
        // Nobody will ever serve it.
        steps.enforce(Action::CancelRun);
    }
    let undecided = s.trust == Trust::Unknown && s.class.could_reach_us() && !over;
    if undecided && input.now - input.received_at >= UNDECIDED_AFTER {
        steps.act(Action::Alert(AlertKind::TrustUndecided));
    }
}

/// Actions that follow from which runner took the job.
fn plan_runner(input: &Input<'_>, s: &Situation, steps: &mut Steps) {
    let Input { event, facts, .. } = *input;
    let over = event.action == EventAction::Completed;
    let may_run_here = s.trust == Trust::Trusted && s.class == LabelsClass::Pool;
    match &facts.ledger.taken_by {
        Some(runner) if may_run_here && runner.made_for == event.job.id => {}
        Some(_) if may_run_here => steps.act(Action::Rebind),
        Some(_) => {
            steps.act(Action::DestroyRunner);
            steps.act(Action::Alert(AlertKind::StolenRunner));
            if s.trust == Trust::Unknown {
                if !over {
                    steps.act(Action::Retry);
                }
            } else if !over {
                steps.enforced.retain(|action| *action != Action::CancelRun);
                steps.enforce(Action::ForceCancelRun);
            }
            if s.step_ran && s.trust != Trust::Unknown {
                steps.enforce(Action::Rollback);
            }
        }
        None if over && facts.ledger.served => steps.act(Action::DestroyRunner),
        None => {}
    }
}

fn record(
    input: &Input<'_>,
    labels_class: LabelsClass,
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
    let would = match policy.mode {
        Mode::Enforce => {
            always.append(&mut enforced);
            Vec::new()
        }
        Mode::Observe => enforced,
    };
    always.sort_unstable();
    let mut warnings = Vec::new();
    if trust::association_disagrees(facts, &policy.trust) {
        warnings.push("association-and-permission-disagree".to_owned());
    }
    let author = judgement.pull_request.and_then(|number| {
        let pull = facts.pulls.known()?.iter().find(|pull| pull.number == number)?;
        Some(pull.author.as_ref()?.login.clone())
    });
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
        labels_class,
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
