//! Access to the records of runners.

use crate::app::context::Context;
use crate::app::measure;
use crate::app::records::{self, PastRunner, RunnerRecord};
use crate::domain::event;
use crate::domain::ids::{JobId, RunnerId};
use crate::domain::runner::{RunnerEvent, RunnerState};
use crate::ports::{Event, Failure, Ledger};
use chrono::{DateTime, Utc};

/// Returns a runner by its name, including destroyed runners.
///
/// # Errors
/// The failure of the ledger.
pub async fn load_runner(ledger: &dyn Ledger, name: &str) -> Result<Option<RunnerRecord>, Failure> {
    if let Some(runner) = records::load(ledger, name).await? {
        return Ok(Some(runner));
    }
    let past: Option<PastRunner> = records::load(ledger, name).await?;
    Ok(past.map(|past| past.0))
}

/// Returns our runner in an event. Other runners can have the same name, so GitHub's id must also match, where it is
/// known.
pub(in crate::app) async fn runner_of_event(
    ctx: &Context,
    runner: &event::JobRunner,
) -> Result<Option<RunnerRecord>, Failure> {
    let known = load_runner(ctx.ledger.as_ref(), &runner.name).await?;
    Ok(known.filter(|known| known.id.is_none_or(|id| id == runner.id)))
}

/// Changes the record of a runner that is not destroyed. Returns the value of `change`, or none if there is no such
/// runner. The first change that shows a job on the runner is its pick-up.
pub(in crate::app) async fn change_runner<T>(
    ctx: &Context,
    name: &str,
    mut change: impl FnMut(&mut RunnerRecord) -> T + Send,
) -> Result<Option<T>, Failure> {
    let retention = ctx.settings.retention;
    let changed = records::change(ctx.ledger.as_ref(), name, retention, |record| {
        let before = measure::pickup(record);
        let value = change(record);
        (value, measure::pickup(record).filter(|_| before.is_none()))
    })
    .await?;
    let Some((value, picked_up)) = changed else {
        return Ok(None);
    };
    if let Some(took) = picked_up {
        ctx.observer.observe(&Event::RunnerPickedUp { took });
    }
    Ok(Some(value))
}

/// Advances a runner and returns its record.
pub(in crate::app) async fn advance_runner(
    ctx: &Context,
    name: &str,
    event: RunnerEvent,
) -> Result<Option<RunnerRecord>, Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| {
        record.advance(event, now);
        record.clone()
    })
    .await
}

/// Records the job that GitHub gave a runner to. Another runner can have the same name.
pub(in crate::app) async fn note_job(ctx: &Context, runner: &event::JobRunner, job: JobId) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, &runner.name, |record| {
        if record.id.is_some_and(|id| id != runner.id) {
            return;
        }
        record.advance(RunnerEvent::Connected, now);
        if record.taken_by.is_none() {
            record.taken_by = Some(job);
            record.taken_at.get_or_insert(now);
        }
        record.id.get_or_insert(runner.id);
    })
    .await?;
    Ok(())
}

/// Records that GitHub shows an unknown job on a runner.
pub(in crate::app) async fn note_busy(ctx: &Context, name: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| {
        if record.state < RunnerState::Gated {
            record.taken_at.get_or_insert(now);
        }
    })
    .await?;
    Ok(())
}

/// Records that GitHub shows a runner as online without a job. Another runner can have the same name.
pub(in crate::app) async fn note_online(ctx: &Context, name: &str, id: RunnerId) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| {
        if record.id == Some(id) {
            record.advance(RunnerEvent::Connected, now);
        }
    })
    .await?;
    Ok(())
}

/// Records that the host opened the gate of a runner.
pub(in crate::app) async fn note_start(ctx: &Context, name: &str, at: DateTime<Utc>) -> Result<(), Failure> {
    change_runner(ctx, name, |record| {
        record.evidence.started.get_or_insert(at);
    })
    .await?;
    Ok(())
}
