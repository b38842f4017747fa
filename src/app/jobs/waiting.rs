//! The jobs that wait for a runner: admitted, durable, and not begun yet. The pool takes them from here.
//!
//! A want is written before its delivery is acknowledged and removed when its job has begun or is over, so listing the
//! wants finds every job that is still owed something, and costs the same however much the ledger remembers.

use crate::app::context::Gate;
use crate::app::records::{self, JobRecord, Want};
use crate::domain::event::JobEvent;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::job::{Service, ServiceEvent};
use crate::ports::Failure;
use chrono::{DateTime, Utc};

/// Puts an admitted job among those that wait. One that waits already, or has a runner, stays as it is.
pub(in crate::app) async fn begin(
    gate: &Gate,
    event: &JobEvent,
    delivery: &DeliveryId,
    received_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (ledger, job, now) = (gate.ledger.as_ref(), event.job.id, gate.clock.now());
    let Some(repository) = gate.settings.repository(&event.repository) else {
        return Ok(());
    };
    let record = gate.job(job).await?;
    let asks =
        |record: &JobRecord| record.service == Service::Wanted || record.service.after(ServiceEvent::Want).is_some();
    if !record.as_ref().is_some_and(asks) {
        return Ok(());
    }
    // The want goes first: one without a job that is wanted is found and removed; a wanted job without one would not be.
    records::update(
        ledger,
        &job.to_string(),
        gate.settings.retention,
        |old: Option<Want>| {
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
        },
    )
    .await?;
    update_job(gate, job, |record| {
        record.advance(ServiceEvent::Want, now, "waits for a runner")
    })
    .await?;
    gate.pool.wake();
    Ok(())
}

/// Changes a job's record. Gives it as it is afterwards.
pub(in crate::app) async fn update_job(
    gate: &Gate,
    job: JobId,
    mut change: impl FnMut(&mut JobRecord) -> bool + Send,
) -> Result<Option<JobRecord>, Failure> {
    let (ledger, retention) = (gate.ledger.as_ref(), gate.settings.retention);
    records::update(ledger, &job.to_string(), retention, |old: Option<JobRecord>| {
        let mut record = old?;
        change(&mut record).then_some(record)
    })
    .await
}

/// Changes a want, if there is one.
pub(in crate::app) async fn change(
    gate: &Gate,
    job: JobId,
    mut change: impl FnMut(&mut Want) -> bool + Send,
) -> Result<(), Failure> {
    let retention = gate.settings.retention;
    records::update(
        gate.ledger.as_ref(),
        &job.to_string(),
        retention,
        |old: Option<Want>| {
            let mut want = old?;
            change(&mut want).then_some(want)
        },
    )
    .await?;
    Ok(())
}

/// The job is owed nothing any more.
pub(in crate::app) async fn forget(gate: &Gate, job: JobId) -> Result<(), Failure> {
    records::remove::<Want>(gate.ledger.as_ref(), &job.to_string()).await
}

/// Closes a job that is over, or not entitled any more.
pub(in crate::app) async fn close(gate: &Gate, job: JobId, why: &str) -> Result<(), Failure> {
    let now = gate.clock.now();
    update_job(gate, job, |record| record.advance(ServiceEvent::Close, now, why)).await?;
    forget(gate, job).await
}
