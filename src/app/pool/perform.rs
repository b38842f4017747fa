//! Doing what a pass has planned. Everything here can be broken off and done again.

use super::task::Task;
use crate::app::context::Context;
use crate::app::jobs::record::change_job;
use crate::app::jobs::waiting;
use crate::app::records::{self, RunnerRecord};
use crate::app::runners::record::advance_runner;
use crate::app::runners::{job_gate, lifecycle, provision, sweep};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::JobId;
use crate::domain::job::ServiceEvent;
use crate::domain::runner_task::RunnerTask;
use crate::ports::{Failure, RunnerHost};

/// Gives false when there was nothing to be done yet.
pub(super) async fn perform(ctx: &Context, host: &dyn RunnerHost, task: &Task) -> Result<bool, Failure> {
    match task {
        Task::Boot => boot(ctx, host).await?,
        Task::Discard(slot, why) => {
            host.destroy(slot).await?;
            if let Some(why) = why {
                ctx.pool.hold_boots(ctx.clock.now());
                tell_boot_failed(ctx, why).await?;
            }
        }
        Task::Serve { job, slot, .. } => provision::serve(ctx, host, *job, slot).await?,
        Task::Release(job, runner) => release(ctx, *job, runner).await?,
        Task::TakeOver(want, holder) => sweep::take_over(ctx, want, holder).await?,
        Task::Sweep => return sweep::sweep(ctx).await,
        Task::Runner(what, record) => return perform_for(ctx, what, record).await,
    }
    Ok(true)
}

async fn perform_for(ctx: &Context, what: &RunnerTask, record: &RunnerRecord) -> Result<bool, Failure> {
    let name = record.name.as_str();
    match what {
        RunnerTask::Note(event) => drop(advance_runner(ctx, name, *event).await?),
        RunnerTask::Judge(hello) => return job_gate::judge(ctx, name, hello).await,
        RunnerTask::Open => job_gate::open(ctx, record).await?,
        RunnerTask::Ask => return sweep::ask_about(ctx, record).await,
        RunnerTask::End(outcome, why) => lifecycle::end(ctx, name, *outcome, why.as_deref()).await?,
        RunnerTask::TearDown => lifecycle::tear_down(ctx, name).await?,
    }
    Ok(true)
}

async fn boot(ctx: &Context, host: &dyn RunnerHost) -> Result<(), Failure> {
    let asked = ctx.clock.now();
    match host.boot().await {
        Ok(slot) => {
            ctx.pool.asked_for(slot, asked);
            Ok(())
        }
        Err(failure) => {
            tell_boot_failed(ctx, &failure.to_string()).await?;
            Err(failure)
        }
    }
}

async fn tell_boot_failed(ctx: &Context, why: &str) -> Result<(), Failure> {
    tracing::error!(why, "a slot did not come up");
    let what = format!("a slot did not come up: {why}");
    let key = AlertKey::new(AlertKind::RunnerBootFailure, None);
    ctx.alerts.raise(Alert::new(&key, None, &what, ctx.clock.now())).await
}

/// A crash came between naming a runner and recording it: nobody was asked for it.
async fn release(ctx: &Context, job: JobId, runner: &str) -> Result<(), Failure> {
    if records::load::<RunnerRecord>(ctx.ledger.as_ref(), runner)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let now = ctx.clock.now();
    change_job(ctx, job, |record| {
        let is_its = record.runner.as_deref() == Some(runner);
        let lost = is_its && record.advance(ServiceEvent::Lose, now, format!("runner {runner} is gone"));
        if lost {
            record.runner = None;
        }
        lost
    })
    .await?;
    waiting::change(ctx, job, |want| {
        let held = want.holder.as_ref().is_some_and(|holder| holder.runner == runner);
        if held {
            want.holder = None;
        }
        held
    })
    .await
}
