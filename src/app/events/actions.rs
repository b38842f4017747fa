//! Executes the actions of decisions. Every action can be repeated after a crash without a second effect.

use super::refusal::passing;
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::jobs::{assignment, waiting};
use crate::app::records::{self, Entry, JobRecord, RunRecord, RunnerRecord};
use crate::app::rollout::rerun::{self, Rerun, Why, rerun_once};
use crate::app::rollout::rollback;
use crate::app::runners::lifecycle;
use crate::app::runners::record::{note_job, runner_of_event};
use crate::app::settings::Repository;
use crate::domain::alert::{AlertKey, AlertKind};
use crate::domain::decision::{Action, Decision};
use crate::domain::event::{Action as EventAction, JobEvent, JobStatus};
use crate::domain::job::Service;
use crate::domain::runner::{Outcome, RunnerState};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunCommand};
use chrono::{DateTime, TimeDelta, Utc};

/// Time after a delivery in which a command that GitHub reports as pointless is repeated.
const CONFIRMATION_TIMEOUT: TimeDelta = TimeDelta::minutes(5);

/// Executes one action of a decision.
pub(in crate::app) async fn perform(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
    action: Action,
) -> Result<(), Failure> {
    match action {
        Action::Provision => provision(ctx, event, decision).await,
        Action::DestroyRunner => destroy_runner(ctx, event).await,
        Action::Rebind => rebind(ctx, event).await,
        Action::CancelRun | Action::ForceCancelRun => {
            cancel_run(ctx, repository, event, decision.received_at, action).await
        }
        Action::RerunRun => rerun_run(ctx, repository, event, decision.received_at).await,
        Action::Alert(kind) => raise(ctx, kind, decision).await,
        Action::Rollback => rollback::roll_back(ctx, repository, decision).await,
        Action::Retry => Ok(()),
    }
}

async fn raise(ctx: &Context, kind: AlertKind, decision: &Decision) -> Result<(), Failure> {
    ctx.alerts.raise(decision.alert(kind)).await
}

async fn provision(ctx: &Context, event: &JobEvent, decision: &Decision) -> Result<(), Failure> {
    if ctx.host.is_none() {
        let job = event.job.id;
        tracing::warn!(job = job.0, "job {job} is admitted, but no runner host is configured");
        return Ok(());
    }
    waiting::begin(ctx, event, &decision.delivery, decision.received_at).await
}

/// Returns true if the attempt was cancelled, or if a later one would be cancelled in its place.
fn is_done(record: &RunRecord, action: Action, attempt: u32) -> bool {
    let cancelled = match action {
        Action::CancelRun => record.cancelled_attempt.max(record.force_cancelled_attempt),
        _ => record.force_cancelled_attempt,
    };
    cancelled.max(record.rerun_attempt) >= Some(attempt)
}

/// Cancels a run, once per attempt, independent of the number of its jobs that ask for it.
async fn cancel_run(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    received_at: DateTime<Utc>,
    action: Action,
) -> Result<(), Failure> {
    let (name, run, attempt) = (&repository.name, event.job.run_id, event.job.run_attempt);
    let record = rerun::record_of(ctx, run).await?;
    if is_done(&record, action, attempt) {
        return Ok(());
    }
    let outcome = match action {
        Action::CancelRun => ctx.github.cancel_run(name, run).await,
        _ => ctx.github.force_cancel_run(name, run).await,
    };
    let outcome = outcome.map_err(passing)?;
    if outcome != RunCommand::Accepted && !is_borne_out(ctx, repository, event, received_at).await? {
        let what = format!("GitHub rejected {action} for run {run} of {name}, but does not show its job as completed");
        return Err(Failure::Transient(what));
    }
    tracing::info!(run = run.0, repository = %name, action = %action, ?outcome, "{action} sent to GitHub for run {run}");
    records::update(
        ctx.ledger.as_ref(),
        &run.to_string(),
        ctx.settings.retention,
        |record: &mut Option<RunRecord>| {
            let record = record.get_or_insert_default();
            let field = match action {
                Action::CancelRun => &mut record.cancelled_attempt,
                _ => &mut record.force_cancelled_attempt,
            };
            *field = (*field).max(Some(attempt));
        },
    )
    .await
}

/// Re-runs a run after its cancellation has taken effect.
async fn rerun_run(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    received_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (name, run) = (&repository.name, event.job.run_id);
    match rerun_once(ctx, name, run, event.job.run_attempt, Why::RolledBack).await? {
        Rerun::Done | Rerun::Futile => Ok(()),
        Rerun::Gone if is_borne_out(ctx, repository, event, received_at).await? => Ok(()),
        Rerun::Gone => Err(Failure::Transient(format!("GitHub does not show run {run} of {name}"))),
        Rerun::Running => Err(Failure::Transient(format!("run {run} of {name} has not ended yet"))),
    }
}

/// Returns true if the live job confirms GitHub's objection to a command. A single answer that a run does not exist or
/// is over is no proof. After a time the answer is believed, because a run can be deleted.
async fn is_borne_out(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    received_at: DateTime<Utc>,
) -> Result<bool, Failure> {
    if ctx.clock.now() - received_at >= CONFIRMATION_TIMEOUT {
        return Ok(true);
    }
    let job = ctx.github.job(&repository.name, event.job.id, Purpose::Judge).await;
    let job = job.map_err(passing)?;
    Ok(job.is_some_and(|job| job.status == JobStatus::Completed))
}

/// Destroys our runner that took the job, or otherwise the one that was created for it.
async fn destroy_runner(ctx: &Context, event: &JobEvent) -> Result<(), Failure> {
    let over = event.action == EventAction::Completed;
    if let Some(on) = &event.job.runner
        && let Some(runner) = runner_of_event(ctx, on).await?
    {
        let why = format!("job {} had no right to it", event.job.id);
        let (outcome, why) = match runner.job == event.job.id {
            true => (how_it_ended(&runner), None),
            false => (Outcome::Stolen, Some(why)),
        };
        return lifecycle::end(ctx, &runner.name, outcome, why.as_deref()).await;
    }
    let record = load_job(ctx, event.job.id).await?;
    match record.filter(|_| over).and_then(|record| record.runner) {
        Some(name) => lifecycle::cancel(ctx, &name, event.job.id, None).await.map(drop),
        None => Ok(()),
    }
}

/// Returns the outcome of a runner whose job is over.
fn how_it_ended(runner: &RunnerRecord) -> Outcome {
    if runner.passed_gate {
        Outcome::Completed
    } else {
        Outcome::Cancelled
    }
}

/// Reassigns a runner that a trusted job took from another job.
async fn rebind(ctx: &Context, event: &JobEvent) -> Result<(), Failure> {
    let Some(on) = &event.job.runner else {
        return Ok(());
    };
    // No other swap may hand the runner over as a spare one.
    note_job(ctx, on, event.job.id).await?;
    match runner_of_event(ctx, on).await? {
        Some(runner) if runner.job != event.job.id => assignment::swap(ctx, &runner, event.job.id).await,
        _ => Ok(()),
    }
}

/// Records what an event shows about our runners: a job runs on one, or is over and its runner ends. Before a runner
/// ends, GitHub's live record of the job must confirm the event.
pub(in crate::app) async fn follow_runner(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
) -> Result<(), Failure> {
    let job = event.job.id;
    if !matches!(event.action, EventAction::InProgress | EventAction::Completed) {
        return Ok(());
    }
    let named = match &event.job.runner {
        Some(on) => runner_of_event(ctx, on).await?,
        None => None,
    };
    if let (EventAction::InProgress, Some(taken), Some(_)) = (event.action, &event.job.runner, &named) {
        note_job(ctx, taken, job).await?;
    }
    let record = load_job(ctx, job).await?;
    let is_owed = |record: &JobRecord| !matches!(record.service, Service::Unwanted | Service::Closed);
    let over = event.action == EventAction::Completed;
    let runs_on_ours = named
        .as_ref()
        .is_some_and(|named| named.state != RunnerState::Destroyed);
    let matters = (over && runs_on_ours) || record.as_ref().is_some_and(is_owed);
    if !matters {
        return settle_stuck(ctx, event, record.as_ref()).await;
    }
    let live = ctx.github.job(&repository.name, job, Purpose::Admit).await?;
    let is_over = live.as_ref().is_none_or(|live| live.status == JobStatus::Completed);
    let is_running = live.as_ref().is_some_and(|live| live.status == JobStatus::InProgress);
    if !is_over && (over || !is_running) {
        // GitHub's record lags behind its event, or the event is forged.
        return Err(Failure::Transient(format!(
            "GitHub does not show job {job} as {} yet",
            event.action.as_str()
        )));
    }
    let on = named.filter(|named| match live.as_ref().map(|live| &live.runner) {
        Some(Some(runner)) => named.id.is_none_or(|id| id == runner.id),
        Some(None) => false,
        // The run was deleted together with the record of the job. Only the job's own runner ends.
        None => named.job == job,
    });
    if let (true, Some(runner)) = (is_over, &on) {
        lifecycle::end(ctx, &runner.name, how_it_ended(runner), None).await?;
    }
    let over = is_over;
    // A job that runs elsewhere, or is over without a start, no longer needs its runner.
    let Some(record) = load_job(ctx, job).await? else {
        return Ok(());
    };
    settle_stuck(ctx, event, Some(&record)).await?;
    let elsewhere = on.as_ref().is_none_or(|on| record.runner.as_deref() != Some(&on.name));
    if matches!(record.service, Service::Wanted | Service::Serving) && (over || (elsewhere && on.is_none())) {
        if let Some(name) = record.runner.filter(|_| elsewhere) {
            let spare: Option<RunnerRecord> = records::load(ctx.ledger.as_ref(), &name).await?;
            // A runner that another job has now follows the events of that job.
            if spare.is_some_and(|spare| spare.taken_by.is_none() && spare.state < RunnerState::Gated) {
                lifecycle::cancel(ctx, &name, job, None).await?;
            }
        }
        let why = if over { "is over" } else { "runs elsewhere" };
        assignment::close(ctx, job, why).await?;
    } else if over && record.service == Service::Served {
        assignment::close(ctx, job, "is over").await?;
    }
    Ok(())
}

/// A job with a `job-stuck` alert is over or runs, on any runner.
async fn settle_stuck(ctx: &Context, event: &JobEvent, record: Option<&JobRecord>) -> Result<(), Failure> {
    let Some(record) = record else {
        return Ok(());
    };
    let was_stuck = |entry: &Entry| {
        let decision = &entry.decision;
        decision.actions.contains(&Action::Alert(AlertKind::JobStuck)) || decision.leaves_a_job_waiting()
    };
    if record.was_given_up || record.decisions.iter().any(was_stuck) {
        let key = AlertKey::new(AlertKind::JobStuck, Some(&record.repository));
        ctx.alerts.over(&key, Some(event.job.id)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_cancelled_once_and_never_after_its_re_run() {
        use Action::{CancelRun, ForceCancelRun};
        let record = |cancelled_attempt, force_cancelled_attempt, rerun_attempt| RunRecord {
            cancelled_attempt,
            force_cancelled_attempt,
            rerun_attempt,
            ..RunRecord::default()
        };
        for (record, action, is_done_already) in [
            (record(None, None, None), CancelRun, false),
            (record(Some(1), None, None), CancelRun, false),
            (record(Some(2), None, None), CancelRun, true),
            (record(None, Some(2), None), CancelRun, true),
            (record(None, None, Some(2)), CancelRun, true),
            (record(Some(2), None, None), ForceCancelRun, false),
            (record(None, Some(2), None), ForceCancelRun, true),
            (record(None, None, Some(2)), ForceCancelRun, true),
        ] {
            assert_eq!(is_done(&record, action, 2), is_done_already, "{record:?} {action:?}");
        }
    }
}
