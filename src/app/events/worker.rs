//! Works deliveries off: claim, decide, acknowledge.
//!
//! The ledger changes before anything is done and before the delivery is acknowledged. A crash at any point brings the
//! delivery back when its lease ends; what is still pending is then finished, and what was done is found done.

use super::lease::{self, LEASE};
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

/// Deliveries worked on at once: enough that a slow GitHub does not stall the rest, and fewer than requests may be under way.
/// Those of outsiders have some of these places and no more, so the others are a lane of their own; see `budget`.
const CONCURRENCY: usize = 40;
/// How long the worker sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_secs(5);
/// How long deliveries under way may take after a stop: enough for a GitHub that answers.
const GRACE: Duration = Duration::from_secs(5);
/// GitHub has failed every job that is older than this; undecided deliveries are given up on.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(26);

/// What became of one delivery.
enum Outcome {
    Done,
    Again {
        after: Option<DateTime<Utc>>,
        cause: String,
    },
    Hopeless(String),
    /// Broken off, which is like a crash to the ledger: the next one takes it up.
    Interrupted,
}

/// Works until `stop` resolves; then takes nothing new, lets what is in flight end, and returns. What takes too long is
/// broken off and handed back.
pub async fn run(ctx: &Arc<Context>, consumer: &str, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(CONCURRENCY));
    let mut flying = JoinSet::new();
    let (hurry, hurried) = watch::channel(false);
    tokio::pin!(stop);
    loop {
        while flying.try_join_next().is_some() {}
        let mut places = Vec::new();
        tokio::select! {
            () = &mut stop => break,
            place = slots.clone().acquire_owned() => places.extend(place),
        }
        while let Ok(place) = slots.clone().try_acquire_owned() {
            places.push(place);
        }
        match ctx.queue.claim(consumer, places.len(), LEASE).await {
            Ok(leases) if leases.is_empty() => tokio::select! {
                () = &mut stop => break,
                () = ctx.queue.wait(IDLE) => {}
            },
            Ok(leases) => {
                for (lease, place) in leases.into_iter().zip(places) {
                    let ctx = ctx.clone();
                    let mut hurried = hurried.clone();
                    flying.spawn(async move {
                        finish(&ctx, lease, hurried.wait_for(|hurry| *hurry)).await;
                        drop(place);
                    });
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "cannot claim deliveries");
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
    let mut landed = Box::pin(async move { while flying.join_next().await.is_some() {} });
    if tokio::time::timeout(GRACE, &mut landed).await.is_err() {
        hurry.send_replace(true);
        landed.await;
    }
}

/// Works on what is due now, one delivery after the other, until nothing is. Gives how many there were.
///
/// # Errors
/// The queue's failure.
pub async fn run_until_idle(ctx: &Context, consumer: &str) -> Result<usize, Failure> {
    let mut count = 0;
    loop {
        let leases = ctx.queue.claim(consumer, 1, LEASE).await?;
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
    let given_back = match outcome {
        Outcome::Done => ctx.queue.ack(lease).await,
        Outcome::Hopeless(cause) => {
            tracing::error!(delivery = %id, cause, "delivery {id} was given up on");
            ctx.queue.dead_letter(lease, &cause).await
        }
        Outcome::Again { after, cause } => {
            let wait = wait_before_retry(ctx, &lease, after);
            tracing::info!(delivery = %id, cause, wait_s = wait.as_secs(), "delivery {id} is tried again");
            ctx.queue.retry(lease, wait, &cause).await
        }
        Outcome::Interrupted => {
            tracing::info!(delivery = %id, "delivery {id} is handed back");
            ctx.queue.retry(lease, Duration::ZERO, "the gate was stopped").await
        }
    };
    if let Err(failure) = given_back {
        // Its lease will end, and it comes back by itself.
        tracing::warn!(delivery = %id, %failure, "cannot give delivery {id} back");
    }
}

fn wait_before_retry(ctx: &Context, lease: &Lease, after: Option<DateTime<Utc>>) -> Duration {
    let mut hasher = DefaultHasher::new();
    (&lease.id, lease.attempts).hash(&mut hasher);
    let jitter = f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0;
    // Asking a limited GitHub costs nothing, since the adapter knows; what lasts has to be looked at to be told.
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

/// The event with what its payload leaves out, taken from GitHub's record of the job.
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
    if ctx.clock.now() - lease.received_at > GIVE_UP_AFTER {
        Outcome::Hopeless(format!(
            "still undecided when GitHub itself had failed the job: {cause}"
        ))
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
        // The pool takes it up when there is room and nobody to fear, which no amount of trying brings about.
        waiting::begin(ctx, event, &lease.id, lease.received_at).await?;
        return Ok(Outcome::Done);
    }
    let mut cause = reason::join(reasons);
    if cause.is_empty() {
        "undecided".clone_into(&mut cause);
    }
    Ok(again(ctx, lease, not_before, cause))
}
