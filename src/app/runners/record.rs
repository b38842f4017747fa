//! Access to the records of runners.

use crate::app::context::Context;
use crate::app::measure;
use crate::app::records::{self, PastRunner, RunnerRecord};
use crate::domain::event;
use crate::domain::ids::JobId;
use crate::domain::runner::{RunnerEvent, RunnerState};
use crate::ports::{Event, Failure, Ledger};

/// A runner by its name, also one of which nothing is left.
///
/// # Errors
/// The ledger's failure.
pub async fn load_runner(ledger: &dyn Ledger, name: &str) -> Result<Option<RunnerRecord>, Failure> {
    if let Some(runner) = records::load(ledger, name).await? {
        return Ok(Some(runner));
    }
    let past: Option<PastRunner> = records::load(ledger, name).await?;
    Ok(past.map(|past| past.0))
}

/// The runner of ours that an event speaks of. A name can be anybody's; GitHub's id has to fit too, where it is known.
pub(in crate::app) async fn runner_of_event(
    ctx: &Context,
    runner: &event::JobRunner,
) -> Result<Option<RunnerRecord>, Failure> {
    let known = load_runner(ctx.ledger.as_ref(), &runner.name).await?;
    Ok(known.filter(|known| known.id.is_none_or(|id| id == runner.id)))
}

/// Changes the record of a runner of which something is left. Gives it as it is afterwards.
pub(in crate::app) async fn change_runner(
    ctx: &Context,
    name: &str,
    mut change: impl FnMut(&mut RunnerRecord) -> bool + Send,
) -> Result<Option<RunnerRecord>, Failure> {
    let retention = ctx.settings.retention;
    let mut picked_up = None;
    let changed = records::update(ctx.ledger.as_ref(), name, retention, |old: Option<RunnerRecord>| {
        let mut record = old?;
        let known = measure::pickup(&record);
        let changed = change(&mut record);
        picked_up = measure::pickup(&record).filter(|_| changed && known.is_none());
        changed.then_some(record)
    })
    .await?;
    if let Some(took) = picked_up {
        ctx.observer.observe(&Event::RunnerPickedUp { took });
    }
    Ok(changed)
}

/// Advances a runner.
pub(in crate::app) async fn advance_runner(
    ctx: &Context,
    name: &str,
    event: RunnerEvent,
) -> Result<Option<RunnerRecord>, Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| record.advance(event, now)).await
}

/// Notes which job GitHub gave a runner to.
pub(in crate::app) async fn note_job(ctx: &Context, runner: &event::JobRunner, job: JobId) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, &runner.name, |record| {
        let mut changed = record.advance(RunnerEvent::Connected, now);
        if record.taken_by.is_none() {
            record.taken_by = Some(job);
            record.taken_at.get_or_insert(now);
            changed = true;
        }
        if record.id.is_none() {
            record.id = Some(runner.id);
            changed = true;
        }
        changed
    })
    .await?;
    Ok(())
}

/// Notes that GitHub shows some job on a runner.
pub(in crate::app) async fn note_busy(ctx: &Context, name: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| {
        let idle = record.taken_at.is_none() && record.state < RunnerState::Gated;
        if idle {
            record.taken_at = Some(now);
        }
        idle
    })
    .await?;
    Ok(())
}
