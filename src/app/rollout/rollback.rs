//! Rollback: switches self-hosted routing off, reports it, and lets stuck runs start over on hosted runners.
//!
//! The record of a rollback comes first. [`resume`] then takes its steps in order: each is recorded, and each can be
//! repeated after a crash or by another worker without a second effect. A worker claims the write of the variable for a
//! few seconds, so that a slow one does not undo a later change by a person.

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::records::{self, RepositoryRecord, RolledBack, RunRecord};
use crate::app::rollout::record::{change_record, change_rollback, record_of};
use crate::app::rollout::{report, rerun, stuck, switch};
use crate::app::settings::Repository;
use crate::domain::alert::{AlertKind, inert};
use crate::domain::decision::Decision;
use crate::domain::facts::Variable;
use crate::domain::ids::RunId;
use crate::domain::policy::Mode;
use crate::domain::retry::backoff;
use crate::domain::rollout::{Cause, Evidence, EvidenceItem, Rollback, RollbackEvent, RollbackStep, Switch, Trigger};
use crate::domain::routing::RoutingVerdict;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::{DateTime, TimeDelta, Utc};

/// The value that switches routing off.
const OFF: &str = "false";
/// Time in which only one worker writes the variable. It is longer than the write takes.
const CLAIM_TIMEOUT: TimeDelta = TimeDelta::seconds(3);
/// Interval between looks at cancelled runs.
const DRAIN_INTERVAL: TimeDelta = TimeDelta::seconds(1);
/// Maximum delay after a failed step. Routing is still on meanwhile.
const MAX_RETRY_DELAY: TimeDelta = TimeDelta::seconds(15);
/// Maximum number of steps in one call. A rollback has fewer.
const MAX_STEPS: usize = 16;

/// The result of [`begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Begun {
    /// The rollback is recorded.
    Now,
    /// An earlier rollback keeps routing off.
    Earlier,
}

/// Switches self-hosted routing off because of a job that was routed wrongly, once for a run, so that late events do not
/// undo a later change by an operator.
pub(in crate::app) async fn roll_back(
    ctx: &Context,
    repository: &Repository,
    decision: &Decision,
) -> Result<(), Failure> {
    let is_known = rerun::record_of(ctx, decision.job.run_id).await?.rolled_back;
    let begun = match is_known {
        true => None,
        false => Some(begin(ctx, repository, cause_of(decision)).await?),
    };
    resume(ctx, repository).await?;
    let record = record_of(ctx, repository).await?;
    let is_pending = |rollback: &Rollback| rollback.is_in_force() && rollback.step < RollbackStep::Verified;
    if record.rollback.as_ref().is_some_and(is_pending) {
        let what = format!(
            "GitHub does not show the routing variable of {} as off yet",
            repository.name
        );
        return Err(Failure::Transient(what));
    }
    if begun == Some(Begun::Earlier) {
        ctx.alerts.raise(decision.alert(AlertKind::Rollback)).await?;
    }
    Ok(())
}

/// Returns the evidence of a decision that switches routing off.
fn cause_of(decision: &Decision) -> Cause {
    let verdict = decision.routing.verdict;
    let kind = match verdict {
        RoutingVerdict::NotRouted => AlertKind::TrustedNotRouted,
        _ => AlertKind::UntrustedOnSelfHosted,
    };
    Cause {
        trigger: Trigger::RouteMismatch,
        evidence: Evidence {
            summary: decision.alert(kind).summary,
            items: vec![EvidenceItem {
                pull_request: decision.trust.pull_request,
                run: Some(decision.job.run_id),
                job: Some(decision.job.id),
                detail: verdict.as_str().to_owned(),
            }],
        },
        job: Some(decision.job.id),
        is_misroute: verdict != RoutingVerdict::NotRouted,
    }
}

/// Records a rollback with its evidence and the fall-back of the canary. [`resume`] executes it. While an earlier
/// rollback keeps routing off, only another route mismatch begins a new one.
///
/// # Errors
/// The failure of the ledger.
pub(in crate::app) async fn begin(ctx: &Context, repository: &Repository, cause: Cause) -> Result<Begun, Failure> {
    let at = ctx.clock.now();
    let stages = &ctx.settings.rollout.stages;
    let rollback = Rollback::begun(cause.clone(), at);
    let (begun, since) = change_record(ctx, repository, |record| {
        match &record.rollback {
            Some(earlier) if earlier.is_in_force() && !rollback.may_replace(earlier) => {
                return (Begun::Earlier, earlier.at);
            }
            _ => {}
        }
        let mut new = rollback.clone();
        // Runs that an overruled rollback has cancelled are still re-run.
        new.stuck = record.rollback.take().map(Rollback::into_cancelled).unwrap_or_default();
        record.rollback = Some(new);
        record.rolled_back(&cause, at, stages);
        (Begun::Now, at)
    })
    .await?;
    if begun == Begun::Now {
        let why = cause.evidence.summary.as_str();
        tracing::error!(repository = %repository.name, trigger = cause.trigger.as_str(), why, "switching self-hosted routing of {} off", repository.name);
    }
    latch(ctx, repository, since, &cause).await?;
    if let Some(run) = rollback.run {
        mark(ctx, run).await?;
    }
    Ok(begun)
}

/// Records that jitgate, not an operator, switches routing off, so that no queued job is served once GitHub shows it as
/// off.
async fn latch(ctx: &Context, repository: &Repository, at: DateTime<Utc>, cause: &Cause) -> Result<(), Failure> {
    let job = cause.job;
    let id = repository.name.as_str();
    records::update(
        ctx.ledger.as_ref(),
        id,
        ctx.settings.retention,
        |record: &mut Option<RepositoryRecord>| {
            let rolled_back = &mut record.get_or_insert_default().rolled_back;
            match rolled_back {
                Some(latch) => latch.at = latch.at.max(at),
                None => *rolled_back = Some(RolledBack { at, job }),
            }
        },
    )
    .await
}

/// Records that a run has switched routing off.
async fn mark(ctx: &Context, run: RunId) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(ledger, &run.to_string(), retention, |record: &mut Option<RunRecord>| {
        record.get_or_insert_default().rolled_back = true;
    })
    .await
}

/// Takes the due steps of an unfinished rollback. Returns true if it took one. In the mode `observe` nothing is sent to
/// GitHub.
///
/// # Errors
/// The failure of the ledger or of GitHub. The step is repeated after a delay.
pub(in crate::app) async fn resume(ctx: &Context, repository: &Repository) -> Result<bool, Failure> {
    let mut has_worked = false;
    if repository.policy.mode != Mode::Enforce {
        return Ok(false);
    }
    for _ in 0..MAX_STEPS {
        let Some(rollback) = record_of(ctx, repository).await?.rollback else {
            break;
        };
        if !rollback.is_due(ctx.clock.now()) {
            break;
        }
        match take_step(ctx, repository, &rollback).await {
            Ok(true) => has_worked = true,
            Ok(false) => break,
            Err(failure) => {
                put_off(ctx, repository, &rollback, &failure).await?;
                return Err(failure);
            }
        }
    }
    Ok(has_worked)
}

async fn take_step(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<bool, Failure> {
    match rollback.step {
        RollbackStep::Begun | RollbackStep::Writing => switch_off(ctx, repository, rollback).await,
        RollbackStep::Verified => {
            report::report(ctx, repository, rollback).await?;
            change_rollback(ctx, repository, rollback, |it| it.advance(RollbackEvent::Reported)).await
        }
        RollbackStep::Reported => {
            let found = match repository.policy.rerun_stuck {
                true => stuck::find(ctx, repository, rollback).await?,
                false => Vec::new(),
            };
            change_rollback(ctx, repository, rollback, |it| {
                it.stuck.extend(found.iter().cloned());
                it.advance(RollbackEvent::Listed)
            })
            .await
        }
        RollbackStep::Draining => drain(ctx, repository, rollback).await,
        RollbackStep::Done => Ok(false),
    }
}

/// Writes the variable and reads it back. A person who has switched it on after an earlier write keeps it on.
async fn switch_off(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<bool, Failure> {
    latch(ctx, repository, rollback.at, &rollback.cause).await?;
    let shown = read(ctx, repository).await?;
    if !is_on(shown.as_ref()) {
        return record_off(ctx, repository, rollback, shown.as_ref()).await;
    }
    let updated_at = shown.and_then(|shown| shown.updated_at);
    if rollback.is_overruled_by(updated_at) {
        return overrule(ctx, repository, rollback, updated_at).await;
    }
    let mut claimed = rollback.clone();
    if claimed.advance(RollbackEvent::WriteBegins) {
        claimed.before = updated_at;
    }
    claimed.not_before = Some(ctx.clock.now() + CLAIM_TIMEOUT);
    if !change_rollback(ctx, repository, rollback, |it| {
        it.clone_from(&claimed);
        true
    })
    .await?
    {
        return Ok(false);
    }
    let set = ctx
        .github
        .set_variable(&repository.name, &repository.variable, OFF)
        .await;
    ctx.github_cache.forget_variable(&repository.name);
    if let Err(failure) = set.map_err(passing) {
        put_off(ctx, repository, &claimed, &failure).await?;
        return Err(failure);
    }
    let shown = read(ctx, repository).await?;
    match is_on(shown.as_ref()) {
        false => record_off(ctx, repository, &claimed, shown.as_ref()).await,
        // The next attempt finds out whether a person has switched it on.
        true => {
            let what = format!(
                "GitHub still shows {} of {} as on",
                repository.variable, repository.name
            );
            let failure = Failure::Transient(what);
            put_off(ctx, repository, &claimed, &failure).await?;
            Err(failure)
        }
    }
}

async fn read(ctx: &Context, repository: &Repository) -> Result<Option<Variable>, Failure> {
    let (name, variable) = (&repository.name, &repository.variable);
    let shown = ctx.github.variable(name, variable, Purpose::Admit).await;
    shown.map_err(passing)
}

fn is_on(variable: Option<&Variable>) -> bool {
    variable.is_some_and(Variable::is_true)
}

/// Records that GitHub shows the variable as off.
async fn record_off(
    ctx: &Context,
    repository: &Repository,
    rollback: &Rollback,
    shown: Option<&Variable>,
) -> Result<bool, Failure> {
    let now = ctx.clock.now();
    let updated_at = shown.and_then(|shown| shown.updated_at);
    let is_recorded = change_record(ctx, repository, |record| {
        let Some(current) = record.rollback.as_mut().filter(|current| current.at == rollback.at) else {
            return false;
        };
        if !current.advance(RollbackEvent::ShownOff) {
            return false;
        }
        record.variable = Some(Switch {
            on: false,
            updated_at,
            seen_at: now,
        });
        true
    })
    .await?;
    if is_recorded {
        ctx.github_cache.forget_variable(&repository.name);
        tracing::error!(repository = %repository.name, "switched self-hosted routing of {} off", repository.name);
    }
    Ok(is_recorded)
}

/// Records that a person has switched routing on after the write.
async fn overrule(
    ctx: &Context,
    repository: &Repository,
    rollback: &Rollback,
    updated_at: Option<DateTime<Utc>>,
) -> Result<bool, Failure> {
    let now = ctx.clock.now();
    let seen = Switch {
        on: true,
        updated_at,
        seen_at: now,
    };
    report::end_failure(ctx, repository).await?;
    switch::note(ctx, repository, seen).await?;
    change_rollback(ctx, repository, rollback, |it| {
        it.overrule(now);
        true
    })
    .await?;
    Ok(true)
}

/// Lets the stuck runs start over, and ends the rollback after the last one.
async fn drain(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<bool, Failure> {
    if rollback.stuck.iter().all(|stuck| stuck.state.is_final()) {
        let found = match repository.policy.rerun_stuck && rollback.may_list_again() {
            true => stuck::find(ctx, repository, rollback).await?,
            false => Vec::new(),
        };
        return change_rollback(ctx, repository, rollback, |it| match found.is_empty() {
            true => it.advance(RollbackEvent::Drained),
            false => {
                it.list_next(found.clone());
                true
            }
        })
        .await;
    }
    let has_changed = stuck::advance_all(ctx, repository, rollback).await?;
    if !has_changed {
        let next = ctx.clock.now() + DRAIN_INTERVAL;
        change_rollback(ctx, repository, rollback, |it| {
            it.not_before = Some(next);
            true
        })
        .await?;
    }
    Ok(has_changed)
}

/// Delays the step that failed.
async fn put_off(
    ctx: &Context,
    repository: &Repository,
    rollback: &Rollback,
    failure: &Failure,
) -> Result<(), Failure> {
    let now = ctx.clock.now();
    tracing::warn!(repository = %repository.name, %failure, step = ?rollback.step, "a step of the rollback failed and is repeated");
    let mut failed = None;
    change_rollback(ctx, repository, rollback, |it| {
        let mut delay = backoff(it.attempts, 0.0).min(MAX_RETRY_DELAY);
        if let Failure::RateLimited { until, .. } = failure {
            delay = delay.max(*until - now).min(TimeDelta::minutes(1));
        }
        it.fail(&inert(&failure.to_string(), report::MAX_PART_CHARS), delay, now);
        failed = Some(it.clone());
        true
    })
    .await?;
    let Some(failed) = failed.filter(|failed| failed.unreported_failure(now).is_some()) else {
        return Ok(());
    };
    report::report_failure(ctx, repository, &failed).await?;
    change_rollback(ctx, repository, &failed, |it| {
        if let Some(failing) = &mut it.failing {
            failing.is_reported = true;
        }
        true
    })
    .await?;
    Ok(())
}
