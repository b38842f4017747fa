//! The end of runners.
//!
//! The record of a runner exists from before the request to GitHub until nothing is left of the runner; then it becomes
//! a past runner. The list of the records therefore contains everything that a crash can leave behind.

use super::record::change_runner;
use crate::app::context::Context;
use crate::app::jobs::assignment::{self, Released};
use crate::app::quarantine;
use crate::app::records::{self, PastRunner, RunnerRecord};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::JobId;
use crate::domain::proof;
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::domain::slot::{Remains, SlotId};
use crate::ports::github::{Deletion, RunnerScope};
use crate::ports::{Event, Failure, RunnerHost};

/// Ends a runner and removes what is left of it. The pool repeats a failed removal.
///
/// # Errors
/// The failure of the ledger; then the runner has not ended.
pub(in crate::app) async fn end(
    ctx: &Context,
    name: &str,
    outcome: Outcome,
    detail: Option<&str>,
) -> Result<(), Failure> {
    finish(ctx, name, None, outcome, detail).await.map(drop)
}

/// Ends a runner that `job` does not need, unless another job has it. Returns false if one has: the runner was handed over to it,
/// or GitHub gave it the runner, and the event about that decides.
///
/// # Errors
/// The failure of the ledger; then the runner has not ended.
pub(in crate::app) async fn cancel(
    ctx: &Context,
    name: &str,
    job: JobId,
    detail: Option<&str>,
) -> Result<bool, Failure> {
    finish(ctx, name, Some(job), Outcome::Cancelled, detail).await
}

/// Ends a runner that `job` has, or any job. Returns false if another one has it.
async fn finish(
    ctx: &Context,
    name: &str,
    job: Option<JobId>,
    outcome: Outcome,
    detail: Option<&str>,
) -> Result<bool, Failure> {
    let now = ctx.clock.now();
    let ended = change_runner(ctx, name, |record| {
        let is_of_another = |job: JobId| record.job != job || record.taken_by.is_some_and(|by| by != job);
        if job.is_some_and(is_of_another) {
            return Finished::OfAnother;
        }
        if !record.advance(RunnerEvent::Finished, now) {
            return Finished::Before;
        }
        record.outcome = Some(outcome);
        record.detail = detail.map(str::to_owned);
        Finished::Now(record.job)
    })
    .await?;
    match ended {
        None => return Ok(true),
        Some(Finished::OfAnother) => return Ok(false),
        Some(Finished::Before) => {}
        Some(Finished::Now(job)) => {
            let what = outcome.as_str();
            tracing::info!(
                job = job.0,
                outcome = what,
                runner = name,
                detail,
                "runner {name} ended: {what}"
            );
            ctx.observer.observe(&Event::RunnerEnded { outcome });
        }
    }
    if let Err(failure) = tear_down(ctx, name).await {
        tracing::warn!(runner = name, %failure, "failed to remove runner {name}; the pool tries again");
    }
    ctx.pool.wake();
    Ok(true)
}

/// The result of the last change of a runner that ends.
enum Finished {
    Now(JobId),
    /// It had ended already.
    Before,
    OfAnother,
}

/// Removes what is left of an ended runner: first its slot, so that nothing runs any more, then its assignment, so that
/// its job can receive another runner, then its record at GitHub. The time of each step is stored with the runner, and so is
/// the failure that prevents the next one.
pub(in crate::app) async fn tear_down(ctx: &Context, name: &str) -> Result<(), Failure> {
    let removed = remove_remains(ctx, name).await;
    if let Err(failure) = &removed
        && let Err(other) = note_hindrance(ctx, name, failure).await
    {
        tracing::debug!(runner = name, failure = %other, "failed to record why runner {name} is not removed");
    }
    removed
}

async fn remove_remains(ctx: &Context, name: &str) -> Result<(), Failure> {
    let ledger = ctx.ledger.as_ref();
    let Some(record) = records::load::<RunnerRecord>(ledger, name).await? else {
        return Ok(());
    };
    if record.state != RunnerState::Ended || record.instance != ctx.settings.instance {
        // The slot is on another machine, whose pool also sees the record.
        return Ok(());
    }
    let was_overdue = proof::overdue(&record.life(), ctx.clock.now()).is_some();
    let record = match &ctx.host {
        None => record,
        Some(host) => match destroy_slot(ctx, host.as_ref(), &record).await? {
            Some(record) => record,
            // Another task has removed the rest meanwhile.
            None => return Ok(()),
        },
    };
    if record.was_stolen() {
        quarantine::count_theft(ctx, &record).await?;
    }
    if let Some(released) = assignment::release(ctx, &record).await? {
        report_failure(ctx, &record, released).await?;
    }
    ctx.rollout_woken.notify_one();
    let unknown = remove_from_github(ctx, &record).await?;
    let now = ctx.clock.now();
    let mut past = record;
    past.advance(RunnerEvent::TornDown, now);
    past.evidence.record_gone = unknown.is_none().then_some(now);
    past.evidence.hindrance = unknown;
    records::update(ledger, name, ctx.settings.retention, |record| {
        // After a crash before the last step, the first times count.
        record.get_or_insert_with(|| PastRunner(past.clone()));
    })
    .await?;
    records::remove::<RunnerRecord>(ledger, name).await?;
    if was_overdue {
        ctx.alerts.over(&left_over(&past), Some(past.job)).await?;
    }
    ctx.rollout_woken.notify_one();
    Ok(())
}

/// Destroys the slot of a runner, and looks whether its disk is gone. Returns the changed record, or none if there is none any
/// more.
async fn destroy_slot(
    ctx: &Context,
    host: &dyn RunnerHost,
    record: &RunnerRecord,
) -> Result<Option<RunnerRecord>, Failure> {
    let slot = SlotId(record.slot.clone());
    host.destroy(&slot).await?;
    let destroyed = ctx.clock.now();
    let remains = host.remains(&slot).await;
    let looked = ctx.clock.now();
    let changed = change_runner(ctx, &record.name, |record| {
        let evidence = &mut record.evidence;
        evidence.destroyed.get_or_insert(destroyed);
        match &remains {
            Ok(Remains::Nothing) => drop(evidence.disk_gone.get_or_insert(looked)),
            Ok(Remains::Kept(kept)) => evidence.disk_kept = Some(kept.clone()),
            Ok(Remains::Slot(_)) | Err(_) => {}
        }
        record.clone()
    });
    let changed = changed.await?;
    match remains? {
        Remains::Slot(place) => Err(Failure::Transient(format!("slot {} is left in {place}", slot.0))),
        Remains::Nothing | Remains::Kept(_) => Ok(changed),
    }
}

/// Stores the reason why an ended runner is not removed, and raises an alert if that takes too long.
async fn note_hindrance(ctx: &Context, name: &str, failure: &Failure) -> Result<(), Failure> {
    let (now, hindrance) = (ctx.clock.now(), failure.to_string());
    let changed = change_runner(ctx, name, |record| {
        let is_left = record.state == RunnerState::Ended;
        is_left.then(|| {
            record.evidence.hindrance = Some(hindrance.clone());
            record.clone()
        })
    });
    let Some(record) = changed.await?.flatten() else {
        return Ok(());
    };
    if let Some(left) = proof::overdue(&record.life(), now) {
        let what = format!("runner {name} has ended, and {left} is not removed: {hindrance}");
        let alert = Alert::new(&left_over(&record), Some(record.job), &what, now);
        ctx.alerts.raise(alert).await?;
    }
    Ok(())
}

fn left_over(runner: &RunnerRecord) -> AlertKey {
    AlertKey::new(AlertKind::RunnerLeftOver, Some(&runner.repository))
}

/// Removes GitHub's record of a runner. Returns the reason why it is not known to be gone, or none if it is.
async fn remove_from_github(ctx: &Context, record: &RunnerRecord) -> Result<Option<String>, Failure> {
    let name = &record.name;
    let Some(scope) = scope_of(ctx, record) else {
        let what = format!(
            "{} is no longer configured; remove runner {name} at GitHub if it still exists",
            record.repository
        );
        tracing::warn!(runner = name.as_str(), "{what}");
        return Ok(Some(what));
    };
    let ids = match record.id {
        Some(id) => vec![id],
        // The request was interrupted, or its answer was lost.
        None => {
            let found = ctx.github.runners_named(scope, name).await?;
            found.into_iter().map(|runner| runner.id).collect()
        }
    };
    for id in ids {
        if ctx.github.delete_runner(scope, id).await? == Deletion::Busy {
            return Err(Failure::Transient(format!(
                "runner {name} is destroyed, but GitHub still shows it as busy"
            )));
        }
    }
    Ok(None)
}

fn scope_of<'a>(ctx: &'a Context, record: &RunnerRecord) -> Option<&'a RunnerScope> {
    let repository = ctx.settings.repository(record.repository.as_str())?;
    Some(&repository.scope)
}

/// Raises the alerts about a failed runner and about a job that receives none.
async fn report_failure(ctx: &Context, runner: &RunnerRecord, released: Released) -> Result<(), Failure> {
    let Released {
        outcome,
        gave_up,
        refused_for_long,
    } = released;
    let (now, outcome_text, more) = (ctx.clock.now(), outcome.as_str(), runner.more());
    if outcome.is_boot_failure() || gave_up || refused_for_long {
        let what = format!("runner {} failed: {outcome_text}{more}", runner.name);
        let key = AlertKey::new(AlertKind::RunnerBootFailure, Some(&runner.repository));
        let alert = Alert::new(&key, Some(runner.job), &what, now);
        ctx.alerts.raise(alert).await?;
    }
    if gave_up || refused_for_long {
        // The first alert is over once any runner comes up, but this job still has none.
        let here = if gave_up {
            "has no attempt left"
        } else {
            "receives no runner"
        };
        let what = format!("job {} waits at GitHub and {here}: {outcome_text}{more}", runner.job);
        let key = AlertKey::new(AlertKind::JobStuck, Some(&runner.repository));
        let alert = Alert::new(&key, Some(runner.job), &what, now);
        ctx.alerts.raise(alert).await?;
    }
    Ok(())
}
