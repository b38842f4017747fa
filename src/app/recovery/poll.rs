//! A poll: asks GitHub for the runs that are not over and for their jobs, and queues the events that are missing.
//!
//! A job behind `needs:` appears later in its run, so a run is asked for again until all of its jobs are over. A poll that
//! GitHub interrupts continues with the runs that it has not asked for.
//!
//! Runs that cannot be trusted come last. Each poll has a ration of calls for them, so that outsiders cannot use up the quota
//! or delay the runs of members.

use super::memory::{Listing, OpenRun, RunKey, Undecided};
use super::stuck::is_decided;
use super::synthesis;
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::records::{self, WaitingRecord};
use crate::app::settings::Repository;
use crate::domain::event::{Action, Job, JobStatus};
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::pin::RepositoryIds;
use crate::domain::recovery::poll::{can_be_trusted, missing_event, runs_to_ask};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunState};
use crate::ports::queue::Filter;
use chrono::TimeDelta;
use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum number of runs of one poll. The next poll continues with the rest.
const MAX_RUNS: usize = 300;
/// Age at which an unfinished poll is given up and begins again.
const MAX_POLL_AGE: TimeDelta = TimeDelta::minutes(10);
/// Maximum number of waiting jobs whose runs are asked for at the start.
const MAX_WAITING: usize = 1000;
/// Number of jobs that GitHub shows in one call.
const JOBS_PER_CALL: usize = 100;
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

/// The choices of an operator for one poll.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollOptions {
    /// Queues nothing.
    pub is_dry: bool,
    /// Asks for every run, without a ration for those of outsiders.
    pub asks_for_all: bool,
}

/// Polls the runs of all repositories. `progress` receives the report so far after each run.
///
/// # Errors
/// The failure of GitHub or of the store. The next call continues. A failure about one repository does not prevent the
/// others.
pub async fn pass(
    ctx: &Context,
    options: PollOptions,
    progress: &(dyn Fn(&PollReport) + Sync),
) -> Result<PollReport, Failure> {
    let mut failed = Failed::default();
    let mut listings = list_runs(ctx, options, &mut failed).await;
    let report = ask_for_jobs(ctx, options, &mut listings, &mut failed, progress).await;
    if report.synthesized > 0 && !options.is_dry {
        tracing::warn!(
            events = report.synthesized,
            "GitHub shows {} events of jobs that did not arrive; they are synthesized",
            report.synthesized
        );
    }
    failed.0.map_or(Ok(report), Err)
}

/// The runs of each repository whose lists were read completely.
type Listings<'a> = BTreeMap<RepositoryName, (&'a Repository, Listing)>;

/// Lists the runs of all repositories.
async fn list_runs<'a>(ctx: &'a Context, options: PollOptions, failed: &mut Failed) -> Listings<'a> {
    let mut listings = Listings::new();
    for repository in &ctx.settings.repositories {
        let mut listing = match take_listing(ctx, repository).await {
            Ok(listing) => listing,
            Err(failure) => {
                failed.note(failure);
                continue;
            }
        };
        match read_lists(ctx, &repository.name, &mut listing).await {
            Ok(()) => drop(listings.insert(repository.name.clone(), (repository, listing))),
            Err(failure) => {
                failed.note(failure);
                keep(ctx, options, &repository.name, listing);
            }
        }
    }
    listings
}

/// Asks for the jobs of the listed runs, as many as one poll may. What remains is kept for the next poll.
async fn ask_for_jobs(
    ctx: &Context,
    options: PollOptions,
    listings: &mut Listings<'_>,
    failed: &mut Failed,
    progress: &(dyn Fn(&PollReport) + Sync),
) -> PollReport {
    let mut report = PollReport::default();
    for (asked, key) in choose(ctx, options, listings).into_iter().enumerate() {
        let (name, run) = &key;
        let Some((repository, listing)) = listings.get_mut(name) else {
            continue;
        };
        if asked == MAX_RUNS && !options.asks_for_all {
            failed.note(Failure::Transient(
                "there are more runs than one poll asks for".to_owned(),
            ));
            for (name, (_, listing)) in std::mem::take(listings) {
                keep(ctx, options, &name, listing);
            }
            break;
        }
        let Some(about) = listing.runs.get(run).copied() else {
            continue;
        };
        match ask(ctx, repository, *run, about, options, &mut report).await {
            Ok(()) => {
                listing.runs.remove(run);
                report.runs += 1;
                progress(&report);
            }
            Err(failure) => {
                failed.note(failure);
                if let Some((_, listing)) = listings.remove(name) {
                    keep(ctx, options, name, listing);
                }
            }
        }
    }
    report
}

/// The failure that a poll reports: one that passes determines when the next poll continues.
#[derive(Default)]
struct Failed(Option<Failure>);

impl Failed {
    fn note(&mut self, failure: Failure) {
        match failure {
            Failure::Permanent(_) => drop(self.0.get_or_insert(failure)),
            _ => self.0 = Some(failure),
        }
    }
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
                can_be_trusted: true,
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

/// Reads the lists that an unfinished poll has not read.
async fn read_lists(ctx: &Context, name: &RepositoryName, listing: &mut Listing) -> Result<(), Failure> {
    let unread = RunState::ALL.into_iter().skip(listing.lists);
    if unread.len() == 0 {
        return Ok(());
    }
    for state in unread {
        for run in ctx.github.runs(name, state, Purpose::Recover).await? {
            let about = OpenRun {
                of: run.of,
                created_at: run.created_at,
                can_be_trusted: can_be_trusted(&run.event, run.from_fork),
            };
            listing.runs.insert(run.id, about);
        }
        listing.lists += 1;
    }
    ctx.recovery.forget_questions(name, &listing.runs);
    Ok(())
}

/// Returns the runs to ask for, in this order.
fn choose(ctx: &Context, options: PollOptions, listings: &Listings<'_>) -> Vec<RunKey> {
    let ration = (!options.asks_for_all).then(|| ctx.recovery.memory().overdraft.ration());
    let runs = listings.iter().flat_map(|(name, (_, listing))| {
        listing
            .runs
            .iter()
            .map(move |(run, about)| ((name.clone(), *run), about))
    });
    let candidates = runs.map(|(key, about)| ctx.recovery.candidate(key, about)).collect();
    runs_to_ask(candidates, ration, ctx.clock.now())
}

/// Keeps an unfinished poll for the next one.
fn keep(ctx: &Context, options: PollOptions, name: &RepositoryName, listing: Listing) {
    if !options.is_dry {
        ctx.recovery.memory().listings.insert(name.clone(), listing);
    }
}

/// Asks for the jobs of a run, and queues the events that are missing.
async fn ask(
    ctx: &Context,
    repository: &Repository,
    run: RunId,
    about: OpenRun,
    options: PollOptions,
    report: &mut PollReport,
) -> Result<(), Failure> {
    let key = (repository.name.clone(), run);
    if !about.can_be_trusted {
        // Noted first, so that a run that GitHub cannot show does not hold up the others.
        ctx.recovery.note_question(key.clone(), ctx.clock.now());
    }
    let jobs = ctx.github.jobs_of_run(&repository.name, run, Purpose::Recover).await?;
    if !about.can_be_trusted {
        ctx.recovery.memory().overdraft.count(jobs.len() / JOBS_PER_CALL + 1);
    }
    for job in &jobs {
        consider(ctx, repository, &about.of, job, options.is_dry, report).await?;
    }
    if jobs.iter().all(|job| job.status == JobStatus::Completed) {
        ctx.recovery.memory().open_runs.remove(&key);
    } else {
        ctx.recovery.remember(key, about);
    }
    Ok(())
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
    if job.status == JobStatus::Queued && !record.as_ref().is_some_and(is_decided) {
        let undecided = Undecided {
            repository: repository.name.clone(),
            queued_at: job.created_at.unwrap_or(now),
            seen_at: now,
        };
        ctx.recovery.note_undecided(job.id, undecided);
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
