//! Jobs without a decision: one that could be ours and has none a minute after it was queued raises `job-stuck`, which is
//! over by itself once it is decided. A job waits at GitHub, as a poll has seen it, or its delivery waits in the queue. An
//! attempt that failed because GitHub did not answer is no decision.

use super::memory::Undecided;
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::records::JobRecord;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::event::Action;
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::job::Progress;
use crate::domain::payload::{self, Parsed};
use crate::domain::recovery::poll::{decides, is_overdue};
use crate::ports::Failure;
use crate::ports::queue::{Delivery, DeliveryState, Filter};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Time for which this worker has seen a job undecided before it raises an alert. After an outage every job is overdue.
const SEEN_FOR: TimeDelta = TimeDelta::seconds(15);
/// Maximum number of waiting deliveries that are read.
const MAX_WAITING: usize = 1000;
/// Maximum number of bodies that are read.
const MAX_BODIES: usize = 100;

/// Raises the alert for each overdue job, and ends it for each decided one.
pub(super) async fn check(ctx: &Context) -> Result<(), Failure> {
    note_waiting_deliveries(ctx).await?;
    let now = ctx.clock.now();
    let undecided = ctx.recovery.memory().undecided.clone();
    let mut overdue = BTreeMap::new();
    for (job, seen) in undecided {
        let record = load_job(ctx, job).await?;
        if record.is_some_and(|record| is_decided(&record)) {
            ctx.recovery.memory().undecided.remove(&job);
        } else if is_overdue(seen.queued_at, now) && now - seen.seen_at >= SEEN_FOR {
            raise(ctx, job, &seen).await?;
            overdue.insert(job, seen.repository);
        }
    }
    settle(ctx, overdue).await
}

/// Returns true if a job is decided or over.
pub(super) fn is_decided(record: &JobRecord) -> bool {
    let newest = record.decisions.last();
    record.progress == Progress::Completed || newest.is_some_and(|entry| decides(&entry.decision))
}

async fn raise(ctx: &Context, job: JobId, seen: &Undecided) -> Result<(), Failure> {
    let what = format!(
        "job {job} was queued at {} and has no decision",
        seen.queued_at.format("%H:%M:%S UTC")
    );
    let alert = Alert::new(&key(&seen.repository), Some(job), &what, ctx.clock.now());
    ctx.alerts.raise_once(alert).await
}

/// Ends the alert for jobs that are no longer overdue. A worker that has just started knows none of them, so an alert
/// without an overdue job is over as a whole.
async fn settle(ctx: &Context, overdue: BTreeMap<JobId, RepositoryName>) -> Result<(), Failure> {
    let before = std::mem::replace(&mut ctx.recovery.memory().overdue, overdue.clone());
    for (job, repository) in before.iter().filter(|(job, _)| !overdue.contains_key(job)) {
        ctx.alerts.over(&key(repository), Some(*job)).await?;
    }
    for repository in &ctx.settings.repositories {
        if !overdue.values().any(|name| *name == repository.name) {
            ctx.alerts.over(&key(&repository.name), None).await?;
        }
    }
    Ok(())
}

fn key(repository: &RepositoryName) -> AlertKey {
    AlertKey::new(AlertKind::JobStuck, Some(repository)).caused_by("undecided")
}

/// Notes the jobs whose `queued` delivery waits for more than a minute. The fill level shows whether there can be one.
async fn note_waiting_deliveries(ctx: &Context) -> Result<(), Failure> {
    let now = ctx.clock.now();
    let oldest = ctx.queue.depth().await?.oldest;
    if !oldest.is_some_and(|oldest| is_overdue(oldest, now)) {
        return Ok(());
    }
    let filter = Filter {
        states: vec![DeliveryState::Queued, DeliveryState::Leased],
        ..Filter::default()
    };
    let waiting = ctx.queue.deliveries(&filter, MAX_WAITING).await?;
    let is_late =
        |delivery: &&Delivery| delivery.action == Some(Action::Queued) && is_overdue(delivery.received_at, now);
    let mut bodies = 0;
    for delivery in waiting.iter().rev().filter(is_late) {
        let Some(job) = delivery.job else { continue };
        if ctx.recovery.memory().undecided.contains_key(&job) {
            continue;
        }
        let record = load_job(ctx, job).await?;
        if bodies == MAX_BODIES || record.is_some_and(|record| is_decided(&record)) {
            continue;
        }
        bodies += 1;
        if let Some(seen) = read(ctx, delivery).await? {
            ctx.recovery.note_undecided(job, seen);
        }
    }
    Ok(())
}

/// Returns the job of a delivery if it could be ours.
async fn read(ctx: &Context, delivery: &Delivery) -> Result<Option<Undecided>, Failure> {
    let Some(body) = ctx.queue.body(&delivery.id).await? else {
        return Ok(None);
    };
    let Ok(Parsed::Job(event)) = payload::parse(&body) else {
        return Ok(None);
    };
    let repository = ctx.settings.repository(&event.repository);
    let ours = repository.filter(|repository| repository.policy.labels.classify(&event.job).could_reach_us());
    Ok(ours.map(|repository| Undecided {
        repository: repository.name.clone(),
        queued_at: event.job.created_at.unwrap_or(delivery.received_at),
        seen_at: ctx.clock.now(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RunId;

    #[test]
    fn a_job_that_is_over_needs_no_decision() {
        let repository = RepositoryName::parse("octo-org/chem-model").expect("a name");
        let mut record = JobRecord::new(JobId(1), repository, RunId(2));
        for (progress, expected) in [
            (Progress::Queued, false),
            (Progress::InProgress, false),
            (Progress::Completed, true),
        ] {
            record.progress = progress;
            assert_eq!(is_decided(&record), expected, "{progress:?}");
        }
    }
}
