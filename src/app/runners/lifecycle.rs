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
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::domain::slot::SlotId;
use crate::ports::github::{Deletion, RunnerScope};
use crate::ports::{Event, Failure};

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
    let now = ctx.clock.now();
    let ended = change_runner(ctx, name, |record| {
        let ends = record.advance(RunnerEvent::Finished, now);
        if ends {
            record.outcome = Some(outcome);
            record.detail = detail.map(str::to_owned);
        }
        ends.then_some(record.job)
    })
    .await?;
    let Some(ends) = ended else {
        return Ok(());
    };
    if let Some(job) = ends {
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
    if let Err(failure) = tear_down(ctx, name).await {
        tracing::warn!(runner = name, %failure, "failed to remove runner {name}; the pool tries again");
    }
    ctx.pool.wake();
    Ok(())
}

/// Removes what is left of an ended runner: first its slot, so that nothing runs any more, then its assignment, so that
/// its job can receive another runner, then its record at GitHub.
pub(in crate::app) async fn tear_down(ctx: &Context, name: &str) -> Result<(), Failure> {
    let ledger = ctx.ledger.as_ref();
    let Some(record) = records::load::<RunnerRecord>(ledger, name).await? else {
        return Ok(());
    };
    if record.state != RunnerState::Ended || record.instance != ctx.settings.instance {
        // The slot is on another machine, whose pool also sees the record.
        return Ok(());
    }
    if let Some(host) = &ctx.host {
        host.destroy(&SlotId(record.slot.clone())).await?;
    }
    if record.was_stolen() {
        quarantine::count_theft(ctx, &record).await?;
    }
    if let Some(released) = assignment::release(ctx, &record).await? {
        report_failure(ctx, &record, released).await?;
    }
    ctx.rollout_woken.notify_one();
    remove_from_github(ctx, &record).await?;
    let now = ctx.clock.now();
    let mut past = record;
    past.advance(RunnerEvent::TornDown, now);
    records::update(ledger, name, ctx.settings.retention, |record| {
        *record = Some(PastRunner(past.clone()));
    })
    .await?;
    records::remove::<RunnerRecord>(ledger, name).await?;
    ctx.rollout_woken.notify_one();
    Ok(())
}

async fn remove_from_github(ctx: &Context, record: &RunnerRecord) -> Result<(), Failure> {
    let name = &record.name;
    let Some(scope) = scope_of(ctx, record) else {
        tracing::warn!(
            runner = name.as_str(),
            "{} is no longer configured; remove runner {name} at GitHub if it still exists",
            record.repository
        );
        return Ok(());
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
    Ok(())
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
