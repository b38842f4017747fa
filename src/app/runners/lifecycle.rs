//! What becomes of runners of ours: their records advance, and what has ended is removed.
//!
//! A runner's record is there from before GitHub is asked for it until nothing of it is left, and only then becomes a
//! past one. So whatever a crash leaves behind is found by listing the records.

use super::record::change_runner;
use crate::app::context::Context;
use crate::app::jobs::waiting;
use crate::app::quarantine;
use crate::app::records::{self, JobRecord, PastRunner, RunnerRecord, Want};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::job::{Service, ServiceEvent};
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::domain::slot::SlotId;
use crate::ports::github::{Deletion, RunnerScope};
use crate::ports::{Event, Failure};

/// Ends a runner and removes what is left of it. What does not work out now is done by the pool later.
///
/// # Errors
/// The ledger's failure; nothing was ended then.
pub(in crate::app) async fn end(
    ctx: &Context,
    name: &str,
    outcome: Outcome,
    detail: Option<&str>,
) -> Result<(), Failure> {
    let now = ctx.clock.now();
    let mut ended_now = false;
    let ended = change_runner(ctx, name, |record| {
        ended_now = record.advance(RunnerEvent::Finished, now);
        if ended_now {
            record.outcome = Some(outcome);
            record.detail = detail.map(str::to_owned);
        }
        ended_now
    })
    .await?;
    let Some(record) = ended else {
        return Ok(());
    };
    if ended_now {
        let (job, outcome) = (record.job, outcome.as_str());
        tracing::info!(
            job = job.0,
            outcome,
            runner = name,
            detail,
            "runner {name} has ended: {outcome}"
        );
        let outcome = record.outcome.unwrap_or(Outcome::Died);
        ctx.observer.observe(&Event::RunnerEnded { outcome });
    }
    if let Err(failure) = tear_down(ctx, name).await {
        tracing::warn!(runner = name, %failure, "something is left of runner {name}");
    }
    ctx.pool.wake();
    Ok(())
}

/// Removes what is left of a runner that has ended: its environment first, so that nothing runs any more; then its job
/// may have another one; then GitHub's record.
pub(in crate::app) async fn tear_down(ctx: &Context, name: &str) -> Result<(), Failure> {
    let ledger = ctx.ledger.as_ref();
    let Some(record) = records::load::<RunnerRecord>(ledger, name).await? else {
        return Ok(());
    };
    if record.state != RunnerState::Ended || record.instance != ctx.settings.instance {
        // The environment is another machine's, and its pool sees the record too.
        return Ok(());
    }
    if let Some(host) = &ctx.host {
        host.destroy(&SlotId(record.slot.clone())).await?;
    }
    if record.was_stolen() {
        quarantine::count_theft(ctx, &record).await?;
    }
    release(ctx, &record).await?;
    remove_from_github(ctx, &record).await?;
    let now = ctx.clock.now();
    let mut past = record;
    past.advance(RunnerEvent::TornDown, now);
    records::update(ledger, name, ctx.settings.retention, |_| Some(PastRunner(past.clone()))).await?;
    records::remove::<RunnerRecord>(ledger, name).await
}

async fn remove_from_github(ctx: &Context, record: &RunnerRecord) -> Result<(), Failure> {
    let name = &record.name;
    let Some(scope) = scope_of(ctx, record) else {
        tracing::warn!(
            runner = name.as_str(),
            "{} is not configured any more: remove runner {name} at GitHub if it is still there",
            record.repository
        );
        return Ok(());
    };
    let ids = match record.id {
        Some(id) => vec![id],
        // Its making was cut short, or its answer lost.
        None => {
            let found = ctx.github.runners_named(scope, name).await?;
            found.into_iter().map(|runner| runner.id).collect()
        }
    };
    for id in ids {
        if ctx.github.delete_runner(scope, id).await? == Deletion::Busy {
            return Err(Failure::Transient(format!(
                "runner {name} is destroyed, and GitHub still shows it busy"
            )));
        }
    }
    Ok(())
}

fn scope_of<'a>(ctx: &'a Context, record: &RunnerRecord) -> Option<&'a RunnerScope> {
    let repository = ctx.settings.repository(record.repository.as_str())?;
    Some(&repository.scope)
}

/// The job of a runner that has ended: served, over, or in need of another runner.
async fn release(ctx: &Context, runner: &RunnerRecord) -> Result<(), Failure> {
    let (now, settings) = (ctx.clock.now(), &ctx.settings);
    let served = runner.has_served_its_job();
    // A thief can have a runner end in more than one way; none is a fault of the job that it was made for, or of the host.
    // Neither is it one that a swap gave it away, though that is no theft.
    let taken = runner.was_stolen() || (runner.passed_gate && !served);
    let stolen = taken.then_some(Outcome::Stolen);
    let outcome = stolen.or(runner.outcome).unwrap_or(Outcome::Died);
    let mut wait = None;
    let (mut gave_up, mut refused_for_long) = (false, false);
    let more = runner
        .detail
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({why})"));
    let job = records::update(
        ctx.ledger.as_ref(),
        &runner.job.to_string(),
        settings.retention,
        |old: Option<JobRecord>| {
            let mut record = old.filter(|record| record.runner.as_deref() == Some(&runner.name))?;
            (wait, gave_up, refused_for_long) = (None, false, false);
            let what = format!("runner {} has ended: {}{more}", runner.name, outcome.as_str());
            let is_over = record.progress.is_past_queued() || outcome == Outcome::Cancelled || served;
            if is_over {
                return record.advance(ServiceEvent::Close, now, what).then_some(record);
            }
            if !record.advance(ServiceEvent::Lose, now, what) {
                return None;
            }
            wait = record.lose_runner(outcome, runner.named_at().unwrap_or(now), now);
            if record.attempts_left(settings.attempts) == 0 {
                let what = format!("got no runner in {} attempts", settings.attempts);
                gave_up = record.advance(ServiceEvent::GiveUp, now, what);
            }
            refused_for_long = outcome.is_no_runner_from_github() && record.is_refused_for_long(now);
            record.was_given_up |= gave_up || refused_for_long;
            Some(record)
        },
    )
    .await?;
    let Some(job) = job else { return Ok(()) };
    if outcome.is_boot_failure() || gave_up || refused_for_long {
        let what = format!("runner {} came to nothing: {}{more}", runner.name, outcome.as_str());
        let key = AlertKey::new(AlertKind::RunnerBootFailure, Some(&runner.repository));
        let alert = Alert::new(&key, Some(runner.job), &what, now);
        ctx.alerts.raise(alert).await?;
    }
    if gave_up || refused_for_long {
        // The other alert is over once any runner comes up; this job still has none.
        let here = if gave_up {
            "is given up here"
        } else {
            "gets no runner from it"
        };
        let what = format!(
            "job {} waits at GitHub, and {here}: {}{more}",
            runner.job,
            outcome.as_str()
        );
        let key = AlertKey::new(AlertKind::JobStuck, Some(&runner.repository));
        let alert = Alert::new(&key, Some(runner.job), &what, now);
        ctx.alerts.raise(alert).await?;
    }
    let holds = |want: &Want| want.holder.as_ref().is_some_and(|holder| holder.runner == runner.name);
    if job.service == Service::Wanted {
        waiting::change(ctx, runner.job, |want| {
            let held = holds(want);
            if held {
                want.holder = None;
                want.not_before = wait.map(|wait| now + wait);
            }
            held
        })
        .await
    } else if job.runner.as_deref().is_none_or(|name| name == runner.name) {
        waiting::forget(ctx, runner.job).await
    } else {
        Ok(())
    }
}
