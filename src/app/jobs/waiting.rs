//! The jobs that wait for a runner: admitted, durable, and not begun yet. The pool takes them from here.
//!
//! A want is written before its delivery is acknowledged and removed when its job has begun or is over, so listing the
//! wants finds every job that is still owed something, and costs the same however much the ledger remembers.

use super::record::{change_job, load_job};
use crate::app::context::Context;
use crate::app::records::{self, JobRecord, Want};
use crate::domain::event::JobEvent;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::job::{Service, ServiceEvent};
use crate::ports::Failure;
use chrono::{DateTime, Utc};

/// Puts an admitted job among those that wait. One that waits already, or has a runner, stays as it is.
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
    // The want goes first: one without a job that is wanted is found and removed; a wanted job without one would not be.
    records::update(ledger, &job.to_string(), ctx.settings.retention, |old: Option<Want>| {
        old.is_none().then(|| Want {
            event: event.clone(),
            delivery: delivery.clone(),
            received_at,
            repository: repository.name.clone(),
            since: now,
            tries: 0,
            not_before: None,
            holder: None,
        })
    })
    .await?;
    change_job(ctx, job, |record| {
        record.advance(ServiceEvent::Want, now, "waits for a runner")
    })
    .await?;
    ctx.pool.wake();
    Ok(())
}

/// Changes a want, if there is one.
pub(in crate::app) async fn change(
    ctx: &Context,
    job: JobId,
    mut change: impl FnMut(&mut Want) -> bool + Send,
) -> Result<(), Failure> {
    let retention = ctx.settings.retention;
    records::update(ctx.ledger.as_ref(), &job.to_string(), retention, |old: Option<Want>| {
        let mut want = old?;
        change(&mut want).then_some(want)
    })
    .await?;
    Ok(())
}

/// The job is owed nothing any more.
pub(in crate::app) async fn forget(ctx: &Context, job: JobId) -> Result<(), Failure> {
    records::remove::<Want>(ctx.ledger.as_ref(), &job.to_string()).await
}

/// Closes a job that is over, or not entitled any more.
pub(in crate::app) async fn close(ctx: &Context, job: JobId, why: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_job(ctx, job, |record| record.advance(ServiceEvent::Close, now, why)).await?;
    forget(ctx, job).await
}
