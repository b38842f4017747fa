//! A poll: asks GitHub for the runs that are not over and for their jobs, and queues the events that are missing.
//!
//! A job behind `needs:` appears later in its run, so a run is asked for again until all of its jobs are over. A poll that
//! GitHub interrupts continues with the runs that it has not asked for.

use super::memory::{Listing, OpenRun, RunKey, Undecided};
use super::synthesis;
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::records::{self, WaitingRecord};
use crate::app::settings::Repository;
use crate::domain::event::{Action, Job, JobStatus};
use crate::domain::ids::JobId;
use crate::domain::pin::RepositoryIds;
use crate::domain::recovery::poll::missing_event;
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunState};
use crate::ports::queue::Filter;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum number of runs of one poll. The next poll continues with the rest.
const MAX_RUNS: usize = 300;
/// Age at which an unfinished poll is given up and begins again.
const MAX_POLL_AGE: TimeDelta = TimeDelta::minutes(10);
/// Maximum number of waiting jobs whose runs are asked for at the start.
const MAX_WAITING: usize = 1000;
/// Maximum number of deliveries about one job that are read.
const MAX_DELIVERIES: usize = 16;

/// The result of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PollReport {
    /// Runs whose jobs were asked for.
    pub runs: usize,
    /// Jobs that could reach one of our runners.
    pub jobs: usize,
    /// Missing events that were queued, or would be in a dry run.
    pub synthesized: usize,
}

/// Polls the runs of all repositories, oldest first. `progress` receives the report so far after each run.
///
/// # Errors
/// The failure of GitHub or of the store. The next call continues. A failure about one repository does not prevent the
/// others.
pub async fn pass(ctx: &Context, is_dry: bool, progress: &(dyn Fn(&PollReport) + Sync)) -> Result<PollReport, Failure> {
    let mut report = PollReport::default();
    let mut failed = None;
    for repository in &ctx.settings.repositories {
        match poll(ctx, repository, is_dry, &mut report, progress).await {
            Ok(()) => {}
            Err(Failure::Permanent(what)) => {
                failed.get_or_insert(Failure::Permanent(what));
            }
            Err(failure) => {
                failed = Some(failure);
            }
        }
    }
    if report.synthesized > 0 && !is_dry {
        tracing::warn!(
            events = report.synthesized,
            "GitHub shows {} events of jobs that did not arrive; they are synthesized",
            report.synthesized
        );
    }
    failed.map_or(Ok(report), Err)
}

async fn poll(
    ctx: &Context,
    repository: &Repository,
    is_dry: bool,
    report: &mut PollReport,
    progress: &(dyn Fn(&PollReport) + Sync),
) -> Result<(), Failure> {
    let mut listing = take_listing(ctx, repository).await?;
    let polled = poll_listing(ctx, repository, &mut listing, is_dry, report, progress).await;
    if polled.is_err() && !is_dry {
        ctx.recovery.memory().listings.insert(repository.name.clone(), listing);
    }
    polled
}

/// Returns the unfinished poll of a repository, or a new one: with the runs that were not over at the last look.
async fn take_listing(ctx: &Context, repository: &Repository) -> Result<Listing, Failure> {
    let (name, now) = (&repository.name, ctx.clock.now());
    let mut runs = BTreeMap::new();
    {
        let mut memory = ctx.recovery.memory();
        let unfinished = memory.listings.remove(name);
        if let Some(listing) = unfinished.filter(|listing| now - listing.began < MAX_POLL_AGE) {
            return Ok(listing);
        }
        let of_repository = memory.open_runs.iter().filter(|((of, _), _)| of == name);
        runs.extend(of_repository.map(|((_, run), about)| (*run, *about)));
    }
    if runs.is_empty() {
        // The run of a waiting job can have ended while this worker was not running.
        let waiting: Vec<WaitingRecord> = records::list(ctx.ledger.as_ref(), MAX_WAITING).await?;
        for waiting in waiting.iter().filter(|waiting| waiting.repository == *name) {
            let about = OpenRun {
                of: RepositoryIds::default(),
                created_at: waiting.event.job.created_at,
            };
            runs.insert(waiting.event.job.run_id, about);
        }
    }
    Ok(Listing {
        began: now,
        lists: 0,
        runs,
    })
}

/// Continues a poll: reads the remaining lists, and asks for the remaining runs, oldest first.
async fn poll_listing(
    ctx: &Context,
    repository: &Repository,
    listing: &mut Listing,
    is_dry: bool,
    report: &mut PollReport,
    progress: &(dyn Fn(&PollReport) + Sync),
) -> Result<(), Failure> {
    let name = &repository.name;
    for state in RunState::ALL.into_iter().skip(listing.lists) {
        for run in ctx.github.runs(name, state, Purpose::Recover).await? {
            let about = OpenRun {
                of: run.of,
                created_at: run.created_at,
            };
            listing.runs.insert(run.id, about);
        }
        listing.lists += 1;
    }
    let mut runs: Vec<_> = listing.runs.clone().into_iter().collect();
    runs.sort_by_key(|(run, about)| (about.created_at.unwrap_or(DateTime::<Utc>::MIN_UTC), *run));
    for (asked, (run, about)) in runs.into_iter().enumerate() {
        if asked == MAX_RUNS {
            return Err(Failure::Transient(format!(
                "{name} has more runs than one poll asks for"
            )));
        }
        let jobs = ctx.github.jobs_of_run(name, run, Purpose::Recover).await?;
        for job in &jobs {
            consider(ctx, repository, &about.of, job, is_dry, report).await?;
        }
        report.runs += 1;
        progress(report);
        remember(ctx, (name.clone(), run), about, &jobs);
        listing.runs.remove(&run);
    }
    Ok(())
}

fn remember(ctx: &Context, key: RunKey, about: OpenRun, jobs: &[Job]) {
    let is_over = jobs.iter().all(|job| job.status == JobStatus::Completed);
    let mut memory = ctx.recovery.memory();
    if is_over {
        memory.open_runs.remove(&key);
    } else {
        memory.open_runs.insert(key, about);
    }
}

async fn consider(
    ctx: &Context,
    repository: &Repository,
    ids: &RepositoryIds,
    job: &Job,
    is_dry: bool,
    report: &mut PollReport,
) -> Result<(), Failure> {
    if !repository.policy.labels.classify(job).could_reach_us() {
        return Ok(());
    }
    report.jobs += 1;
    let now = ctx.clock.now();
    let record = load_job(ctx, job.id).await?;
    if job.status == JobStatus::Queued && record.as_ref().is_none_or(|record| record.decisions.is_empty()) {
        let undecided = Undecided {
            repository: repository.name.clone(),
            queued_at: job.created_at.unwrap_or(now),
            seen_at: now,
        };
        ctx.recovery.memory().undecided.entry(job.id).or_insert(undecided);
    }
    let Some(action) = missing_event(job, record.map(|record| record.progress), now) else {
        return Ok(());
    };
    if is_on_its_way(ctx, job.id, action).await? {
        return Ok(());
    }
    if is_dry || synthesis::queue_event(ctx, &repository.name, ids, job, action).await? {
        report.synthesized += 1;
        tracing::info!(
            job = job.id.0,
            action = action.as_str(),
            "GitHub shows job {} as {}, and no delivery says so",
            job.id,
            action.as_str()
        );
    }
    Ok(())
}

/// Returns true if the queue has a delivery that shows the job as far as GitHub does.
async fn is_on_its_way(ctx: &Context, job: JobId, action: Action) -> Result<bool, Failure> {
    let unfinished = ctx
        .queue
        .deliveries(&Filter::unfinished_of(job), MAX_DELIVERIES)
        .await?;
    Ok(unfinished.iter().any(|delivery| delivery.action == Some(action)))
}
