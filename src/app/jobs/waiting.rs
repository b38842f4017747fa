//! The waiting jobs: admitted, durable and not started. The pool serves them from here.
//!
//! The record of a waiting job is written before its delivery is acknowledged, and deleted when the job has started or
//! is over. The list of these records therefore contains every job that needs a runner, and its cost does not depend on
//! the size of the ledger.

use super::record::{change_job, load_job};
use crate::app::context::Context;
use crate::app::records::{self, JobRecord, WaitingRecord};
use crate::domain::event::JobEvent;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::job::{Service, ServiceEvent};
use crate::ports::Failure;
use chrono::{DateTime, Utc};

/// Adds an admitted job to the waiting jobs. A job that already waits or has a runner is unchanged.
pub(in crate::app) async fn begin(
    ctx: &Context,
    event: &JobEvent,
    delivery: &DeliveryId,
    received_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (ledger, job, now) = (ctx.ledger.as_ref(), event.job.id, ctx.clock.now());
    let Some(repository) = ctx.settings.repository(&event.repository) else {
        return Ok(());
    };
    let record = load_job(ctx, job).await?;
    let asks =
        |record: &JobRecord| record.service == Service::Wanted || record.service.after(ServiceEvent::Want).is_some();
    if !record.as_ref().is_some_and(asks) {
        return Ok(());
    }
    // The waiting record is written first. One without a job record is found and deleted, but a waiting job without
    // this record would be lost.
    records::update(ledger, &job.to_string(), ctx.settings.retention, |waiting| {
        waiting.get_or_insert_with(|| WaitingRecord {
            event: event.clone(),
            delivery: delivery.clone(),
            received_at,
            repository: repository.name.clone(),
            size: repository.policy.labels.size_of(&event.job.labels),
            since: now,
            tries: 0,
            not_before: None,
            holder: None,
        });
    })
    .await?;
    change_job(ctx, job, |record| {
        record.advance(ServiceEvent::Want, now, "waits for a runner")
    })
    .await?;
    ctx.pool.wake();
    Ok(())
}

/// Changes a waiting job and returns the value of `change`, or none if the job does not wait.
pub(in crate::app) async fn change<T>(
    ctx: &Context,
    job: JobId,
    change: impl FnMut(&mut WaitingRecord) -> T + Send,
) -> Result<Option<T>, Failure> {
    records::change(ctx.ledger.as_ref(), &job.to_string(), ctx.settings.retention, change).await
}

/// Delays a waiting job until a time, after an attempt that failed.
pub(in crate::app) async fn put_off(ctx: &Context, job: JobId, until: DateTime<Utc>) -> Result<(), Failure> {
    change(ctx, job, |waiting| {
        waiting.tries += 1;
        waiting.not_before = Some(until);
    })
    .await?;
    Ok(())
}

/// Deletes the waiting record.
pub(in crate::app) async fn forget(ctx: &Context, job: JobId) -> Result<(), Failure> {
    records::remove::<WaitingRecord>(ctx.ledger.as_ref(), &job.to_string()).await
}
