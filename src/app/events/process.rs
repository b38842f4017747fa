//! The processing of one event: gather the facts, decide, record, act.
//!
//! The record with its pending actions is stored in the ledger first. An executed action is removed from it. Every
//! action can be repeated, so after a crash the remaining ones are executed.

use super::{actions, gather};
use crate::app::context::Context;
use crate::app::jobs::record::{change_job, load_job};
use crate::app::measure::Heard;
use crate::app::pool::capacity;
use crate::app::quarantine;
use crate::app::records::{self, Entry, JobRecord, RepositoryRecord};
use crate::app::recovery::lost;
use crate::app::repositories::pins;
use crate::app::rollout::measure::Measured;
use crate::app::rollout::{measure, rerun, run_labels, switch};
use crate::app::runners::record::runner_of_event;
use crate::app::runners::thefts::Waiter;
use crate::app::settings::Repository;
use crate::domain::admission::SETTLING_DELAY;
use crate::domain::alert::AlertKind;
use crate::domain::decision::{self, Action, Decision, Input};
use crate::domain::event::{Action as EventAction, Job, JobEvent};
use crate::domain::facts::{Fact, Facts, LedgerFacts, LiveJob, OurRunner};
use crate::domain::ids::DeliveryId;
use crate::domain::job::Progress;
use crate::domain::reason::Reason;
use crate::domain::routing::RoutingVerdict;
use crate::domain::trust::{self, Trust};
use crate::ports::{Event, Failure};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A request for a decision on a job.
#[derive(Debug, Clone, Copy)]
pub(in crate::app) struct Request<'a> {
    /// The delivery that the decision is recorded under.
    pub(in crate::app) delivery: &'a DeliveryId,
    pub(in crate::app) received_at: DateTime<Utc>,
    /// Number of earlier attempts to decide.
    pub(in crate::app) attempts: u32,
    pub(in crate::app) stage: Stage<'a>,
}

/// The stage at which a job is decided on. Each stage decides anew, by the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Stage<'a> {
    /// An event from GitHub.
    Delivery,
    /// The creation of a runner, with a reserved slot.
    Provision,
    /// The job gate, with the live record of the job.
    JobGate(&'a Job),
}

impl Request<'_> {
    /// Reports whether a slot is reserved for the job, so that capacity is no question.
    fn has_slot(&self) -> bool {
        self.stage != Stage::Delivery
    }
}

/// A recorded and executed decision.
#[derive(Debug)]
pub(in crate::app) struct Processed {
    pub(in crate::app) decision: Decision,
    /// The time before which another question to GitHub is useless, if known.
    pub(in crate::app) not_before: Option<DateTime<Utc>>,
}

/// Gathers the facts about an event, decides, records the decision and executes its actions.
pub(in crate::app) async fn process_event(
    ctx: &Context,
    request: &Request<'_>,
    repository: &Repository,
    event: &JobEvent,
) -> Result<Processed, Failure> {
    let began = Instant::now();
    let record = load_job(ctx, event.job.id).await?;
    let facts = Facts {
        ledger: ledger_facts(ctx, request, repository, event, record.as_ref()).await?,
        live_job: match request.stage {
            Stage::JobGate(job) => Fact::Known(LiveJob::from(job)),
            Stage::Delivery | Stage::Provision => Fact::NotAsked,
        },
        ..Facts::default()
    };
    let urgent = request.has_slot() || facts.ledger.taken_by.is_some();
    let Judged {
        facts,
        decision,
        not_before,
    } = judge(ctx, request, repository, event, facts, urgent).await?;
    pins::pin_shown(ctx, repository, &facts).await?;
    switch::note_facts(ctx, repository, &facts).await?;
    run_labels::learn(ctx, repository, event, &facts, &decision).await?;
    ctx.observer.observe(&Event::Decided {
        decision: &decision,
        took: began.elapsed(),
    });
    log(&decision);
    ctx.recovery.note(&decision, ctx.clock.now());
    ctx.alerts.settle_trust(record.as_ref(), &decision).await?;
    let pending: Vec<Action> = decision
        .actions
        .iter()
        .copied()
        .filter(|action| *action != Action::Retry)
        // A job with a slot gets its runner from the caller and keeps waiting if that runner fails.
        .filter(|action| !(request.has_slot() && *action == Action::Provision))
        .collect();
    let may_quarantine = trust::may_accuse(&facts, &repository.policy.trust) != Some(false);
    let entry = Entry {
        decision: decision.clone(),
        facts,
        pending: pending.clone(),
    };
    let measured = store_decision(ctx, repository, event, entry).await?;
    measure::note(ctx, repository, &decision, &measured).await?;
    hold_or_release(ctx, repository, event, &decision, may_quarantine).await?;
    follow_up(ctx, repository, event, &decision, &pending).await?;
    if decision.leaves_a_job_waiting() {
        ctx.alerts.raise(decision.alert(AlertKind::JobStuck)).await?;
    }
    Ok(Processed { decision, not_before })
}

/// Decides on an event as [`process_event`] does, with some known facts. Stores nothing and takes no action.
pub(in crate::app) async fn preview_event(
    ctx: &Context,
    request: &Request<'_>,
    repository: &Repository,
    event: &JobEvent,
    known: Facts,
) -> Result<Decision, Failure> {
    let record = load_job(ctx, event.job.id).await?;
    let mut ledger = ledger_facts(ctx, request, repository, event, record.as_ref()).await?;
    // No delivery has just arrived.
    ledger.catching_up = false;
    let judged = judge(ctx, request, repository, event, Facts { ledger, ..known }, false).await?;
    Ok(judged.decision)
}

/// A decision with its facts.
struct Judged {
    facts: Facts,
    decision: Decision,
    not_before: Option<DateTime<Utc>>,
}

/// Gathers the missing facts about an event, and decides.
async fn judge(
    ctx: &Context,
    request: &Request<'_>,
    repository: &Repository,
    event: &JobEvent,
    mut facts: Facts,
    urgent: bool,
) -> Result<Judged, Failure> {
    let asked_from = ctx.clock.now();
    let mut not_before = gather::gather(ctx, repository, event, &mut facts, urgent).await?;
    let mut decision = decide(ctx, request, repository, event, &facts);
    let is_cached = ctx.github_cache.variable_asked_at(&repository.name) < Some(asked_from);
    if is_cached && rests_on_the_variable(&decision) {
        // An operator may have switched the variable a moment ago.
        ctx.github_cache.forget_variable(&repository.name);
        facts.variable = Fact::NotAsked;
        not_before = not_before.max(gather::gather(ctx, repository, event, &mut facts, urgent).await?);
        decision = decide(ctx, request, repository, event, &facts);
    }
    Ok(Judged {
        facts,
        decision,
        not_before,
    })
}

fn decide(ctx: &Context, request: &Request<'_>, repository: &Repository, event: &JobEvent, facts: &Facts) -> Decision {
    decision::decide(&Input {
        delivery: request.delivery,
        received_at: request.received_at,
        repository: &repository.name,
        event,
        facts,
        policy: &repository.policy,
        now: ctx.clock.now(),
    })
}

async fn ledger_facts(
    ctx: &Context,
    request: &Request<'_>,
    repository: &Repository,
    event: &JobEvent,
    record: Option<&JobRecord>,
) -> Result<LedgerFacts, Failure> {
    let ledger = ctx.ledger.as_ref();
    let taken_by = match &event.job.runner {
        Some(runner) => runner_of_event(ctx, runner).await?.map(|ours| OurRunner {
            id: runner.id,
            made_for: ours.job,
            passed_gate: ours.passed_gate,
        }),
        None => None,
    };
    let waiter = Waiter::of(repository, event.job.id, request.received_at);
    let group = quarantine::of_group(ledger, &repository.group_key()).await?;
    let routing: Option<RepositoryRecord> = records::load(ledger, repository.name.as_str()).await?;
    let routing = routing.unwrap_or_default();
    let run = rerun::record_of(ctx, event.job.run_id).await?;
    Ok(LedgerFacts {
        pinned: pins::pinned(ledger, repository).await?,
        served: record.is_some_and(JobRecord::is_served),
        overtaken: record.is_some_and(|record| record.progress.is_past_queued())
            && !Progress::shown_by(event).is_past_queued(),
        quarantined: group.holds_until(waiter, ctx.clock.now()).is_some(),
        at_capacity: !request.has_slot() && capacity::is_full(ctx).await?,
        rolled_back: routing.rolled_back.is_some(),
        stopped: routing.stopped.is_some(),
        rerun_lost_attempt: run.rerun_lost_attempt,
        labelled_workflows: routing.labelled_workflows,
        taken_by,
        attempts: request.attempts,
        catching_up: ctx.clock.now() - request.received_at < SETTLING_DELAY,
        at_gate: matches!(request.stage, Stage::JobGate(_)),
        admitted: record.and_then(|record| record.admitted.clone()),
    })
}

async fn store_decision(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    entry: Entry,
) -> Result<Measured, Failure> {
    let shown = Progress::shown_by(event);
    let job = &event.job;
    let (heard, measured) = records::update(
        ctx.ledger.as_ref(),
        &job.id.to_string(),
        ctx.settings.retention,
        |record: &mut Option<JobRecord>| {
            let heard = Heard::of(record.as_ref(), event, &entry);
            let record = record.get_or_insert_with(|| JobRecord::new(job.id, repository.name.clone(), job.run_id));
            record.progress = record.progress.max(shown);
            record.note(event, entry.clone());
            (heard, Measured::of(repository, &entry, record))
        },
    )
    .await?;
    heard.report(ctx.observer.as_ref());
    Ok(measured)
}

async fn hold_or_release(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
    may_quarantine: bool,
) -> Result<(), Failure> {
    let (ledger, group) = (ctx.ledger.as_ref(), repository.group_key());
    let (now, retention) = (ctx.clock.now(), ctx.settings.retention);
    let threat = may_quarantine
        && decision.labels_class.could_reach_us()
        && matches!(decision.trust.verdict, Trust::Untrusted | Trust::Unknown);
    let waits = matches!(event.action, EventAction::Queued | EventAction::Waiting);
    let over = event.action == EventAction::Completed;
    let is_nobodys = |reason: &Reason| matches!(reason, Reason::RunGone | Reason::RepositoryChanged);
    if threat && waits && !decision.admission.reasons.iter().any(is_nobodys) {
        let author = decision.author.as_deref().unwrap_or("-");
        let length = repository.quarantine;
        quarantine::begin(ledger, &group, event.job.id, author, now, length, retention).await
    } else if over || !threat {
        if quarantine::end(ledger, &group, event.job.id, now, retention).await? {
            ctx.pool.wake();
        }
        Ok(())
    } else {
        Ok(())
    }
}

/// Executes the actions of the decision and records what the event shows about our runners. A failure of one does not
/// prevent the other.
pub(in crate::app) async fn follow_up(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
    pending: &[Action],
) -> Result<(), Failure> {
    let done = carry_out(ctx, repository, event, decision, pending).await;
    actions::follow_runner(ctx, repository, event).await?;
    lost::note(ctx, repository, event).await?;
    done
}

async fn carry_out(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
    pending: &[Action],
) -> Result<(), Failure> {
    // A failed action does not prevent the others: an alert is raised although the runner cannot be deleted yet.
    let mut first_failure = None;
    for action in pending {
        if let Err(failure) = actions::perform(ctx, repository, event, decision, *action).await {
            tracing::warn!(job = event.job.id.0, %action, %failure, "failed to execute {action}");
            first_failure.get_or_insert(failure);
            continue;
        }
        change_job(ctx, event.job.id, |record| {
            record.cross_off(&decision.delivery, *action)
        })
        .await?;
    }
    first_failure.map_or(Ok(()), Err)
}

/// Returns true if the decision refuses or accuses because of the value of the routing variable.
fn rests_on_the_variable(decision: &Decision) -> bool {
    let refused = decision.admission.reasons.contains(&Reason::RolledBack);
    refused || decision.routing.verdict == RoutingVerdict::NotRouted
}

fn log(decision: &Decision) {
    let job = decision.job.id;
    let actions: Vec<String> = decision.actions.iter().map(ToString::to_string).collect();
    tracing::info!(
        delivery = %decision.delivery,
        repository = %decision.repository,
        job = job.0,
        action = decision.action.as_str(),
        labels = decision.labels_class.as_str(),
        trust = decision.trust.verdict.as_str(),
        routing = decision.routing.verdict.as_str(),
        admission = decision.admission.verdict.as_str(),
        actions = actions.join(","),
        "decided on job {job}"
    );
}
