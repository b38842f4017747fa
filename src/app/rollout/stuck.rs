//! Stuck runs of a rollback: trusted runs with a pool job that neither started nor ended. They are cancelled and start
//! over on hosted runners.
//!
//! GitHub's current record is read before each cancellation and each re-run. A cancellation is recorded before it is
//! sent, so only one worker sends it.

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::jobs::record::load_job;
use crate::app::records::{self, JobRecord, MeasuredRecord, RolloutRecord, RunRecord, WaitingRecord};
use crate::app::rollout::rerun::{self, Rerun, Why, rerun_once};
use crate::app::settings::Repository;
use crate::domain::event::JobStatus;
use crate::domain::ids::{JobId, RunId};
use crate::domain::job::Service;
use crate::domain::rollout::{
    Lifecycle, LiveJobs, MAX_STUCK_JOBS, MAX_STUCK_RUNS, Rollback, StuckEvent, StuckRun, StuckState, StuckTask,
};
use crate::ports::Failure;
use crate::ports::github::Purpose;
use crate::ports::ledger::Kind;
use std::collections::BTreeMap;

/// Number of the newest measured runs that are searched for jobs without a runner. Older ones ended long ago.
const MAX_MEASURED_RUNS: usize = 200;

/// Returns the stuck runs of a repository that the rollback does not know, as far as the ledger shows: at most as many as
/// one list holds.
pub(super) async fn find(
    ctx: &Context,
    repository: &Repository,
    rollback: &Rollback,
) -> Result<Vec<StuckRun>, Failure> {
    let mut found: BTreeMap<(RunId, u32), Vec<JobId>> = BTreeMap::new();
    let waiting: Vec<WaitingRecord> = records::all(ctx.ledger.as_ref()).await?;
    for waiting in waiting {
        if waiting.repository == repository.name {
            let job = &waiting.event.job;
            found.entry((job.run_id, job.run_attempt)).or_default().push(job.id);
        }
    }
    for measured in measured_runs(ctx, repository).await? {
        let run = measured.0;
        for (id, job) in &run.jobs {
            let may_wait = matches!(
                job.lifecycle,
                Lifecycle::Waiting | Lifecycle::BootFailed | Lifecycle::RegistrationFailed
            );
            if may_wait && load_job(ctx, *id).await?.is_some_and(|record| waits(&record)) {
                found.entry((run.run, run.attempt)).or_default().push(*id);
            }
        }
    }
    let mut stuck = Vec::new();
    for ((run, attempt), mut jobs) in found {
        if rollback.has_listed(run, attempt) {
            continue;
        }
        if rerun::is_futile(&rerun::record_of(ctx, run).await?, attempt, Why::RolledBack) {
            continue;
        }
        jobs.sort_unstable();
        jobs.dedup();
        jobs.truncate(MAX_STUCK_JOBS);
        stuck.push(StuckRun {
            run,
            attempt,
            jobs,
            state: StuckState::Found,
            since: ctx.clock.now(),
            absent_since: None,
        });
    }
    // The newest runs are those that people wait for.
    stuck.reverse();
    stuck.truncate(MAX_STUCK_RUNS);
    Ok(stuck)
}

async fn measured_runs(ctx: &Context, repository: &Repository) -> Result<Vec<MeasuredRecord>, Failure> {
    let prefix = MeasuredRecord::ids_of(&repository.name);
    let rows = ctx
        .ledger
        .list(Kind::MeasuredRun, Some(&prefix), MAX_MEASURED_RUNS)
        .await?;
    let mut runs = Vec::new();
    for (id, _) in rows.iter().take_while(|(id, _)| id.starts_with(&prefix)) {
        runs.extend(records::load::<MeasuredRecord>(ctx.ledger.as_ref(), id).await?);
    }
    Ok(runs)
}

/// Returns true if the job waits at GitHub, as far as the ledger knows.
fn waits(record: &JobRecord) -> bool {
    let is_served = matches!(record.service, Service::Served | Service::Closed);
    !record.progress.is_past_queued() && !is_served
}

/// Takes the next step of each stuck run. Returns true if one of them has changed.
pub(super) async fn advance_all(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<bool, Failure> {
    let mut has_changed = false;
    let mut failed = None;
    for stuck in rollback.stuck.iter().filter(|stuck| !stuck.state.is_final()) {
        match advance(ctx, repository, stuck).await {
            Ok(changed) => has_changed |= changed,
            // A run that GitHub refuses to change does not delay the others.
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    }
    match failed {
        Some(failure) if !has_changed => Err(failure),
        _ => Ok(has_changed),
    }
}

async fn advance(ctx: &Context, repository: &Repository, stuck: &StuckRun) -> Result<bool, Failure> {
    let (name, run) = (&repository.name, stuck.run);
    let record = rerun::record_of(ctx, run).await?;
    let was_cancelled = record.cancelled_attempt.max(record.force_cancelled_attempt) >= Some(stuck.attempt);
    let shown = ctx
        .github
        .run_progress(name, run, Purpose::Admit)
        .await
        .map_err(passing)?;
    let mut task = stuck.next_task(shown, was_cancelled, ctx.clock.now());
    if task == StuckTask::Cancel {
        task = stuck.task_by_jobs(live_jobs(ctx, repository, stuck).await?, was_cancelled);
    }
    match task {
        StuckTask::Wait => Ok(false),
        StuckTask::Note(event) => {
            if event == StuckEvent::Left {
                tracing::info!(run = run.0, repository = %name, "run {run} is left as it is after the rollback");
            }
            note(ctx, repository, stuck, event).await
        }
        StuckTask::NoteAbsence => {
            let now = ctx.clock.now();
            change(ctx, repository, stuck, |stuck| {
                stuck.absent_since = Some(now);
                true
            })
            .await?;
            Ok(false)
        }
        StuckTask::Cancel => cancel(ctx, repository, stuck).await,
        StuckTask::Rerun => match rerun_once(ctx, name, run, stuck.attempt, Why::RolledBack).await? {
            Rerun::Done => note(ctx, repository, stuck, StuckEvent::NewAttempt).await,
            Rerun::Futile => note(ctx, repository, stuck, StuckEvent::Left).await,
            Rerun::Running | Rerun::Gone => Ok(false),
        },
    }
}

async fn live_jobs(ctx: &Context, repository: &Repository, stuck: &StuckRun) -> Result<LiveJobs, Failure> {
    let mut state = LiveJobs::Over;
    for job in &stuck.jobs {
        let live = ctx.github.job(&repository.name, *job, Purpose::Admit).await;
        match live.map_err(passing)?.map(|live| live.status) {
            Some(JobStatus::Queued | JobStatus::Waiting) => return Ok(LiveJobs::Wait),
            Some(JobStatus::InProgress) => state = LiveJobs::Run,
            Some(JobStatus::Completed | JobStatus::Other) | None => {}
        }
    }
    Ok(state)
}

async fn cancel(ctx: &Context, repository: &Repository, stuck: &StuckRun) -> Result<bool, Failure> {
    let (name, run, attempt) = (&repository.name, stuck.run, stuck.attempt);
    if !note(ctx, repository, stuck, StuckEvent::CancelBegins).await? {
        // Another worker cancels it.
        return Ok(false);
    }
    let outcome = ctx.github.cancel_run(name, run).await.map_err(passing)?;
    tracing::info!(run = run.0, repository = %name, ?outcome, "cancelled run {run}, which waits for a self-hosted runner");
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(ledger, &run.to_string(), retention, |record: &mut Option<RunRecord>| {
        let record = record.get_or_insert_default();
        record.cancelled_attempt = record.cancelled_attempt.max(Some(attempt));
    })
    .await?;
    Ok(true)
}

/// Records an event of a stuck run. Returns false if another worker was faster.
async fn note(ctx: &Context, repository: &Repository, stuck: &StuckRun, event: StuckEvent) -> Result<bool, Failure> {
    let now = ctx.clock.now();
    change(ctx, repository, stuck, |stuck| {
        stuck.absent_since = None;
        stuck.advance(event, now)
    })
    .await
}

/// Changes a stuck run that is unchanged since it was read.
async fn change(
    ctx: &Context,
    repository: &Repository,
    read: &StuckRun,
    mut change: impl FnMut(&mut StuckRun) -> bool + Send,
) -> Result<bool, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    let id = repository.name.as_str();
    let changed = records::change(ledger, id, retention, |record: &mut RolloutRecord| {
        let rollback = record.rollback.as_mut()?;
        let stuck = rollback.stuck.iter_mut().find(|stuck| *stuck == read)?;
        Some(change(stuck))
    });
    Ok(changed.await?.flatten().unwrap_or(false))
}
