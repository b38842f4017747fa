//! The loops of recovery, and one pass of everything.

use super::log::{LogOptions, LogReport};
use super::poll::{PollOptions, PollReport};
use super::{log, lost, poll, stuck};
use crate::app::context::Context;
use crate::app::records::{self, RecoveryRecord};
use crate::domain::recovery::pace::{log_interval, poll_interval};
use crate::domain::retry::backoff;
use crate::ports::Failure;
use crate::ports::ledger::Kind;
use chrono::{DateTime, TimeDelta, Utc};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Time after a start in which the deliveries that already wait in the queue come first.
const START_DELAY: Duration = Duration::from_secs(2);
/// Interval between two checks for jobs without a decision and for lost jobs.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// Interval in which a worker that polls seldom looks for a reason to poll often, such as a decision of another worker.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Time by which the knowledge of open pull requests must grow before it is stored again.
const SHARE_STEP: TimeDelta = TimeDelta::minutes(10);
/// The shortest and the longest delay after a pass that a rate limit or a refusal ended.
const MIN_DELAY: TimeDelta = TimeDelta::seconds(2);
const MAX_DELAY: TimeDelta = TimeDelta::minutes(5);

/// The result of one pass of everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// None if the credentials are not those of an App.
    pub log: Option<LogReport>,
    pub poll: PollReport,
}

/// Catches up at the start and then repeats the passes in intervals, until `stop` resolves. A pass can be interrupted
/// anywhere.
pub async fn run(ctx: &Context, stop: impl Future<Output = ()>) {
    let passes = async {
        tokio::time::sleep(START_DELAY).await;
        tokio::join!(read_log(ctx), poll_runs(ctx), check(ctx))
    };
    tokio::select! {
        () = stop => {}
        _ = passes => {}
    }
}

/// Makes one pass of everything.
///
/// # Errors
/// The first failure of GitHub or of the store. It does not prevent the other parts.
pub async fn run_once(ctx: &Context) -> Result<Recovered, Failure> {
    let log = if ctx.github.has_delivery_log() {
        log::pass(ctx, LogOptions::default(), &|_| {}).await.map(Some)
    } else {
        Ok(None)
    };
    let poll = poll::pass(ctx, PollOptions::default(), &|_| {}).await;
    let checked = stuck::check(ctx).await.and(lost::check(ctx).await);
    let recovered = Recovered { log: log?, poll: poll? };
    checked.map(|()| recovered)
}

async fn read_log(ctx: &Context) {
    if !ctx.github.has_delivery_log() {
        tracing::info!("a token has no delivery log: lost deliveries are found only by polling runs");
        return;
    }
    let mut failures = 0;
    loop {
        let interval = log_interval(ctx.github.quota_left_percent(), jitter(ctx));
        let outcome = match claim(ctx, RecoveryRecord::LOG, interval).await {
            Ok(true) => log::pass(ctx, LogOptions::default(), &|_| {}).await.map(drop),
            Ok(false) => Ok(()),
            Err(failure) => Err(failure),
        };
        rest(ctx, "reading the delivery log", outcome, interval, &mut failures).await;
    }
}

async fn poll_runs(ctx: &Context) {
    let mut failures = 0;
    loop {
        let is_fast = is_fast(ctx).await;
        let interval = poll_interval(is_fast, ctx.github.quota_left_percent(), jitter(ctx));
        let outcome = match claim(ctx, RecoveryRecord::POLL, interval).await {
            Ok(true) => poll::pass(ctx, PollOptions::default(), &|_| {}).await.map(drop),
            Ok(false) => Ok(()),
            Err(failure) => Err(failure),
        };
        tokio::select! {
            () = rest(ctx, "polling runs", outcome, interval, &mut failures) => {}
            () = becomes_fast(ctx), if !is_fast => {}
        }
    }
}

/// Waits until there is a reason to poll often, and then for the short interval.
async fn becomes_fast(ctx: &Context) {
    loop {
        tokio::select! {
            () = ctx.recovery.woken.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if is_fast(ctx).await {
            let soon = poll_interval(true, ctx.github.quota_left_percent(), jitter(ctx));
            tokio::time::sleep(soon.to_std().unwrap_or_default()).await;
            return;
        }
    }
}

async fn check(ctx: &Context) {
    loop {
        if let Err(failure) = stuck::check(ctx).await {
            tracing::debug!(%failure, "failed to check for jobs without a decision");
        }
        if let Err(failure) = lost::check(ctx).await {
            tracing::debug!(%failure, "failed to handle a lost job");
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Returns true if a worker of this store knows that a trusted pull request is open, or if an admitted job waits.
pub async fn is_fast(ctx: &Context) -> bool {
    let waits = async || {
        ctx.ledger
            .list(Kind::Want, None, 1)
            .await
            .is_ok_and(|waiting| !waiting.is_empty())
    };
    open_until(ctx).await.is_some_and(|until| until > ctx.clock.now()) || waits().await
}

/// Returns the time until which a trusted pull request counts as open, as any worker of this store knows. The own
/// knowledge is stored for the others. Without the store, the own knowledge counts.
async fn open_until(ctx: &Context) -> Option<DateTime<Utc>> {
    let (ledger, retention, own) = (ctx.ledger.as_ref(), ctx.settings.retention, ctx.recovery.open_until());
    let state: Result<Option<RecoveryRecord>, Failure> = records::load(ledger, RecoveryRecord::POLL).await;
    let Ok(state) = state else {
        return own;
    };
    let shared = state.and_then(|state| state.open_until);
    let is_news = own.is_some_and(|own| shared.is_none_or(|shared| own - shared >= SHARE_STEP));
    if is_news {
        let change = |record: &mut Option<RecoveryRecord>| {
            let record = record.get_or_insert_default();
            record.open_until = record.open_until.max(own);
        };
        // A failure is repaired by the next look.
        drop(records::update(ledger, RecoveryRecord::POLL, retention, change).await);
    }
    own.max(shared)
}

/// Claims the passes of one kind, so that several workers on one store use the quota once. Another worker takes over
/// when the claim ends, after two intervals.
///
/// # Errors
/// The failure of the ledger.
pub async fn claim(ctx: &Context, kind: &str, interval: TimeDelta) -> Result<bool, Failure> {
    let (ledger, retention, own) = (ctx.ledger.as_ref(), ctx.settings.retention, &ctx.settings.instance);
    let now = ctx.clock.now();
    records::update(ledger, kind, retention, |record: &mut Option<RecoveryRecord>| {
        let record = record.get_or_insert_default();
        let is_free = record.claimed_until.is_none_or(|until| until <= now) || record.claimed_by.as_ref() == Some(own);
        if is_free {
            record.claimed_by = Some(own.clone());
            record.claimed_until = Some(now + interval * 2);
        }
        is_free
    })
    .await
}

/// Waits until the next pass. `failures` counts the passes in a row that failed before this one.
async fn rest(ctx: &Context, what: &str, outcome: Result<(), Failure>, interval: TimeDelta, failures: &mut u32) {
    let delay = match outcome {
        Ok(()) => {
            *failures = 0;
            interval
        }
        Err(failure) => {
            match failure {
                Failure::Permanent(_) => tracing::warn!(%failure, "{what} failed"),
                _ => tracing::debug!(%failure, "{what} was interrupted"),
            }
            let soon = backoff(*failures, jitter(ctx));
            *failures += 1;
            delay_after(&failure, soon, interval, ctx.clock.now())
        }
    };
    tokio::time::sleep(delay.to_std().unwrap_or_default()).await;
}

/// Returns the delay after a failure: until the end of a limit, `soon` after one that may be over by then, or the usual
/// interval.
fn delay_after(failure: &Failure, soon: TimeDelta, interval: TimeDelta, now: DateTime<Utc>) -> TimeDelta {
    match failure {
        Failure::RateLimited { until, .. } => (*until - now).clamp(MIN_DELAY, MAX_DELAY),
        Failure::Transient(_) => soon.min(interval),
        Failure::Permanent(_) => interval.min(MAX_DELAY),
    }
}

/// Returns a number in 0..1 that differs between instances and moments.
fn jitter(ctx: &Context) -> f64 {
    let mut hasher = DefaultHasher::new();
    (&ctx.settings.instance, ctx.clock.now().timestamp_millis()).hash(&mut hasher);
    f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0
}
