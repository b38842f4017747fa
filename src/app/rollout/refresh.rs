//! The newest measured runs of a repository, derived again from the records of their jobs and runners.
//!
//! A job whose outcome is final is not derived again, and the number of runs is bounded, so the cost does not depend on
//! the length of the history.

use crate::app::context::Context;
use crate::app::records::{self, JobRecord, MeasuredRecord, RunnerRecord};
use crate::app::runners::record::load_runner;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::job::Service;
use crate::domain::rollout::{Course, Lifecycle, MeasuredJob, MeasuredRun, Served, WaitParts};
use crate::domain::runner::{Outcome, RunnerState};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};

/// Number of measured runs that the rollout looks at: enough for the triggers and the stages of the canary.
const MIN_RUNS: usize = 256;
/// Number of runs that are read for each run of a window, because some of them do not count.
const RUNS_PER_PLACE: usize = 4;

/// Returns the number of runs to read for a window of a service level.
#[must_use]
pub fn runs_for(window: usize) -> usize {
    window.saturating_mul(RUNS_PER_PLACE).max(MIN_RUNS)
}

/// Returns the newest measured runs, newest first, and stores what changed since the last time.
///
/// # Errors
/// The failure of the ledger.
pub async fn refresh(ctx: &Context, repository: &RepositoryName) -> Result<Vec<MeasuredRun>, Failure> {
    let (ledger, limit) = (ctx.ledger.as_ref(), runs_for(ctx.settings.slo.window));
    let mut runs = Vec::new();
    for stored in stored(ledger, repository, limit).await? {
        let derived = derive(ledger, &stored, ctx.clock.now()).await?;
        if derived != stored {
            store(ctx, repository, &derived).await?;
        }
        runs.push(derived);
    }
    Ok(runs)
}

/// Returns at most `limit` of the newest measured runs, newest first, without storing anything.
///
/// # Errors
/// The failure of the ledger.
pub async fn newest(
    ledger: &dyn Ledger,
    repository: &RepositoryName,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<MeasuredRun>, Failure> {
    let mut runs = Vec::new();
    for stored in stored(ledger, repository, limit).await? {
        runs.push(derive(ledger, &stored, now).await?);
    }
    Ok(runs)
}

async fn stored(ledger: &dyn Ledger, repository: &RepositoryName, limit: usize) -> Result<Vec<MeasuredRun>, Failure> {
    let prefix = MeasuredRecord::ids_of(repository);
    let records: Vec<MeasuredRecord> = records::with_prefix(ledger, &prefix, limit).await?;
    Ok(records.into_iter().map(|record| record.0).collect())
}

/// Stores derived jobs. Verdicts belong to the decisions, which can add jobs meanwhile, and another worker can have asked
/// GitHub for the times of a job.
pub(super) async fn store(ctx: &Context, repository: &RepositoryName, derived: &MeasuredRun) -> Result<(), Failure> {
    let id = MeasuredRecord::id(repository, derived.created_at, derived.run, derived.attempt);
    let (retention, now) = (ctx.settings.retention, ctx.clock.now());
    records::change(ctx.ledger.as_ref(), &id, retention, |record: &mut MeasuredRecord| {
        for (job, new) in &derived.jobs {
            if let Some(known) = record.0.jobs.get_mut(job) {
                *known = known.updated(new, now);
            }
        }
    })
    .await?;
    Ok(())
}

async fn derive(ledger: &dyn Ledger, run: &MeasuredRun, now: DateTime<Utc>) -> Result<MeasuredRun, Failure> {
    let mut derived = run.clone();
    for (id, job) in &mut derived.jobs {
        if job.is_final() {
            continue;
        }
        let record: Option<JobRecord> = records::load(ledger, &id.to_string()).await?;
        let Some(record) = record else {
            // The job expired without an end: GitHub never said what became of it.
            job.lifecycle = Lifecycle::Cancelled;
            continue;
        };
        let course = course_of(ledger, &record, job, now).await?;
        let lifecycle = course.lifecycle(now);
        *job = MeasuredJob {
            verdict: job.verdict,
            created_at: course.created_at,
            started_at: course.started_at,
            ended_at: course.ended_at,
            parts: if lifecycle == Lifecycle::Elsewhere {
                WaitParts::default()
            } else {
                course.parts()
            },
            setup_ms: record.timing.setup_ms,
            lifecycle,
            live: job.live,
        };
    }
    Ok(derived)
}

async fn course_of(
    ledger: &dyn Ledger,
    record: &JobRecord,
    job: &MeasuredJob,
    now: DateTime<Utc>,
) -> Result<Course, Failure> {
    let timing = &record.timing;
    let (live, started_at, ended_at) = (job.live.as_ref(), timing.started_at, timing.completed_at);
    let mut runners = Vec::new();
    for name in &record.runners {
        if let Some(runner) = load_runner(ledger, name).await? {
            runners.extend(served(&runner, record.id));
        }
    }
    let is_refused = |verdict| verdict == AdmissionVerdict::Deny;
    let was_denied = record
        .decisions
        .iter()
        .any(|entry| is_refused(entry.decision.admission.verdict));
    let waits = matches!(record.service, Service::Wanted | Service::Serving | Service::Served);
    Ok(Course {
        was_routed: job.is_of_the_pool(),
        was_denied: was_denied && !waits,
        was_given_up: record.was_given_up || record.service == Service::GivenUp,
        has_succeeded: timing.conclusion.as_deref() == Some("success"),
        created_at: live
            .and_then(|live| live.created_at)
            .or(timing.created_at)
            .or(job.created_at),
        started_at: live.map_or(started_at, |live| live.start(started_at, now)),
        ended_at: live.map_or(ended_at, |live| live.end(ended_at, now)),
        received_at: timing.first_received_at,
        decided_at: timing.first_decided_at,
        runners,
    })
}

/// Returns what a runner did for the job, or none if it belongs to another job now.
fn served(runner: &RunnerRecord, job: JobId) -> Option<Served> {
    if runner.job != job {
        return None;
    }
    let came_to = |state| {
        let mut entered = runner.history.iter().filter(|entered| entered.state == state);
        entered.next().map(|entered| entered.at)
    };
    let connected = [
        came_to(RunnerState::Online),
        came_to(RunnerState::Gated),
        runner.taken_at,
    ];
    let was_taken = runner.taken_by == Some(job);
    Some(Served {
        outcome: if runner.was_stolen() {
            Some(Outcome::Stolen)
        } else {
            runner.outcome
        },
        was_taken,
        passed_gate: runner.has_served_its_job(),
        named_at: runner.named_at(),
        minted_at: came_to(RunnerState::Minted),
        connected_at: connected.into_iter().flatten().min(),
        ended_at: came_to(RunnerState::Ended),
        destroyed_at: came_to(RunnerState::Destroyed),
    })
}
