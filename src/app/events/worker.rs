//! The worker: claims deliveries, decides on them, and acknowledges them.
//!
//! The ledger changes before any action and before the acknowledgement. After a crash, the delivery returns when its
//! lease ends; the worker then does the pending actions and finds the others done.

use super::lease::{self, LEASE_TIMEOUT};
use super::process::{self, Request, Stage};
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::jobs::waiting;
use crate::app::settings::Repository;
use crate::domain::decision::{Action, Decision, UNDECIDED_ALERT_DELAY};
use crate::domain::event::JobEvent;
use crate::domain::payload::{self, Parsed};
use crate::domain::reason::{self, Reason};
use crate::domain::retry::backoff;
use crate::ports::github::Purpose;
use crate::ports::queue::Lease;
use crate::ports::{Event, Failure};
use chrono::{DateTime, TimeDelta, Utc};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Maximum number of concurrent deliveries. It is large enough that a slow GitHub does not stall the rest, and smaller
/// than the limit of concurrent requests. Deliveries of outsiders can use only some of these places; see `budget`.
const MAX_DELIVERIES: usize = 40;
/// Interval between two claims without an event.
const CLAIM_INTERVAL: Duration = Duration::from_secs(5);
/// Time limit of running deliveries after a stop. A responsive GitHub answers within it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which an undecided delivery is given up. GitHub has failed every older job.
const MAX_AGE: TimeDelta = TimeDelta::hours(26);

/// The result of processing a delivery.
enum Outcome {
    Done,
    Again {
        after: Option<DateTime<Utc>>,
        cause: String,
    },
    Hopeless(String),
    /// Interrupted; for the ledger this is like a crash, and the next worker continues.
    Interrupted,
}

/// Processes deliveries until `stop` resolves. It then claims no more deliveries, waits for the running ones, and
/// returns those that take too long to the queue.
pub async fn run(ctx: &Arc<Context>, consumer: &str, stop: impl Future<Output = ()>) {
    let free = Arc::new(Semaphore::new(MAX_DELIVERIES));
    let mut running = JoinSet::new();
    let (interrupt, interrupted) = watch::channel(false);
    tokio::pin!(stop);
    loop {
        while running.try_join_next().is_some() {}
        let mut places = Vec::new();
        tokio::select! {
            () = &mut stop => break,
            place = free.clone().acquire_owned() => places.extend(place),
        }
        while let Ok(place) = free.clone().try_acquire_owned() {
            places.push(place);
        }
        match ctx.queue.claim(consumer, places.len(), LEASE_TIMEOUT).await {
            Ok(leases) if leases.is_empty() => tokio::select! {
                () = &mut stop => break,
                () = ctx.queue.wait(CLAIM_INTERVAL) => {}
            },
            Ok(leases) => {
                for (lease, place) in leases.into_iter().zip(places) {
                    let ctx = ctx.clone();
                    let mut interrupted = interrupted.clone();
                    running.spawn(async move {
                        finish(&ctx, lease, interrupted.wait_for(|interrupted| *interrupted)).await;
                        drop(place);
                    });
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "failed to claim deliveries");
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
    let mut ended = Box::pin(async move { while running.join_next().await.is_some() {} });
    if tokio::time::timeout(STOP_TIMEOUT, &mut ended).await.is_err() {
        interrupt.send_replace(true);
        ended.await;
    }
}

/// Processes the due deliveries one after the other until none is due. Returns their number.
///
/// # Errors
/// The failure of the queue.
pub async fn run_until_idle(ctx: &Context, consumer: &str) -> Result<usize, Failure> {
    let mut count = 0;
    loop {
        let leases = ctx.queue.claim(consumer, 1, LEASE_TIMEOUT).await?;
        if leases.is_empty() {
            return Ok(count);
        }
        for lease in leases {
            finish(ctx, lease, std::future::pending::<()>()).await;
            count += 1;
        }
    }
}

async fn finish<T>(ctx: &Context, lease: Lease, interruption: impl Future<Output = T>) {
    let id = lease.id.clone();
    if lease.attempts == 0 {
        let waited = ctx.clock.now() - lease.received_at;
        let waited = waited.to_std().unwrap_or_default();
        ctx.observer.observe(&Event::DeliveryClaimed { waited });
    }
    let outcome = tokio::select! {
        outcome = process(ctx, &lease) => outcome,
        _ = interruption => Outcome::Interrupted,
        () = lease::until_lost(ctx.queue.as_ref(), &lease) => Outcome::Interrupted,
    };
    let settled = match outcome {
        Outcome::Done => ctx.queue.ack(lease).await,
        Outcome::Hopeless(cause) => {
            tracing::error!(delivery = %id, cause, "delivery {id} failed");
            ctx.queue.dead_letter(lease, &cause).await
        }
        Outcome::Again { after, cause } => {
            let wait = wait_before_retry(ctx, &lease, after);
            tracing::info!(delivery = %id, cause, wait_s = wait.as_secs(), "delivery {id} is retried");
            ctx.queue.retry(lease, wait, &cause).await
        }
        Outcome::Interrupted => {
            tracing::info!(delivery = %id, "delivery {id} is returned to the queue");
            ctx.queue.retry(lease, Duration::ZERO, "the worker was stopped").await
        }
    };
    if let Err(failure) = settled {
        // Its lease ends, and the delivery returns by itself.
        tracing::warn!(delivery = %id, %failure, "failed to settle delivery {id}");
    }
}

fn wait_before_retry(ctx: &Context, lease: &Lease, after: Option<DateTime<Utc>>) -> Duration {
    let mut hasher = DefaultHasher::new();
    (&lease.id, lease.attempts).hash(&mut hasher);
    let jitter = f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0;
    // A retry during a rate limit costs no call, because the adapter knows the limit. A long limit needs retries so
    // that it is reported.
    let limit = after.map_or(TimeDelta::zero(), |until| until - ctx.clock.now());
    let wait = backoff(lease.attempts, jitter).max(limit.min(UNDECIDED_ALERT_DELAY));
    wait.to_std().unwrap_or_default()
}

async fn process(ctx: &Context, lease: &Lease) -> Outcome {
    let event = match payload::parse(&lease.body) {
        Ok(Parsed::Job(event)) => *event,
        Ok(Parsed::UnknownAction) => return Outcome::Done,
        Err(error) => return Outcome::Hopeless(error.to_string()),
    };
    let Some(repository) = ctx.settings.repository(&event.repository) else {
        return Outcome::Done;
    };
    let worked = match completed(ctx, repository, event).await {
        Ok(event) => decide_and_act(ctx, lease, repository, &event).await,
        Err(failure) => Err(failure),
    };
    match worked {
        Ok(outcome) => outcome,
        Err(Failure::Permanent(cause)) => Outcome::Hopeless(cause),
        Err(Failure::RateLimited { until, detail }) => again(ctx, lease, Some(until), detail),
        Err(Failure::Transient(cause)) => again(ctx, lease, None, cause),
    }
}

/// Returns the event with the fields that its payload omits, taken from GitHub's record of the job.
async fn completed(ctx: &Context, repository: &Repository, mut event: JobEvent) -> Result<JobEvent, Failure> {
    if event.job.is_incomplete() {
        let live = ctx.github.job(&repository.name, event.job.id, Purpose::Judge).await?;
        if let Some(live) = live {
            event.job.complete_from(&live);
        }
    }
    Ok(event)
}

fn again(ctx: &Context, lease: &Lease, after: Option<DateTime<Utc>>, cause: String) -> Outcome {
    if ctx.clock.now() - lease.received_at > MAX_AGE {
        Outcome::Hopeless(format!("undecided until GitHub failed the job: {cause}"))
    } else {
        Outcome::Again { after, cause }
    }
}

async fn decide_and_act(
    ctx: &Context,
    lease: &Lease,
    repository: &Repository,
    event: &JobEvent,
) -> Result<Outcome, Failure> {
    let record = load_job(ctx, event.job.id).await?;
    let unfinished = record
        .as_ref()
        .and_then(|record| record.entry(&lease.id))
        .filter(|entry| !entry.pending.is_empty());
    if let Some(entry) = unfinished {
        let (decision, pending) = (entry.decision.clone(), entry.pending.clone());
        process::follow_up(ctx, repository, event, &decision, &pending).await?;
        return settle(ctx, lease, event, &decision, None).await;
    }
    let request = Request {
        delivery: &lease.id,
        received_at: lease.received_at,
        attempts: lease.attempts,
        stage: Stage::Delivery,
    };
    let processed = process::process_event(ctx, &request, repository, event).await?;
    settle(ctx, lease, event, &processed.decision, processed.not_before).await
}

async fn settle(
    ctx: &Context,
    lease: &Lease,
    event: &JobEvent,
    decision: &Decision,
    not_before: Option<DateTime<Utc>>,
) -> Result<Outcome, Failure> {
    if !decision.actions.contains(&Action::Retry) {
        return Ok(Outcome::Done);
    }
    let reasons = &decision.admission.reasons;
    if ctx.host.is_some() && !reasons.is_empty() && reasons.iter().all(Reason::is_lifted_by_the_pool) {
        // The pool serves it when a slot is free and the quarantine is over; a retry cannot achieve that.
        waiting::begin(ctx, event, &lease.id, lease.received_at).await?;
        return Ok(Outcome::Done);
    }
    let mut cause = reason::join(reasons);
    if cause.is_empty() {
        "undecided".clone_into(&mut cause);
    }
    Ok(again(ctx, lease, not_before, cause))
}
