//! Execution of planned tasks. Every task can be interrupted and repeated.

use super::task::{Effect, FailedBoot, Task};
use crate::app::context::Context;
use crate::app::jobs::assignment;
use crate::app::records::{self, Holder, RunnerRecord};
use crate::app::runners::job_gate::Judged;
use crate::app::runners::record::{advance_runner, note_start};
use crate::app::runners::sweep::Swept;
use crate::app::runners::{job_gate, lifecycle, provision, sweep};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::JobId;
use crate::domain::runner::Outcome;
use crate::domain::runner_task::RunnerTask;
use crate::domain::slot::SlotSize;
use crate::ports::{Failure, RunnerHost};

/// Executes a task.
pub(super) async fn perform(ctx: &Context, host: &dyn RunnerHost, task: &Task) -> Result<Effect, Failure> {
    match task {
        Task::Boot(size) => boot(ctx, host, size).await?,
        Task::Discard(slot, failed) => {
            host.destroy(slot).await?;
            if let Some(FailedBoot { size, why }) = failed {
                ctx.pool.hold_boots(size, ctx.clock.now());
                report_boot_failure(ctx, why).await?;
            }
        }
        Task::Serve { job, slot, .. } => provision::serve(ctx, host, *job, slot).await?,
        Task::Release(job, holder) => release(ctx, *job, holder).await?,
        Task::TakeOver(waiting, holder) => sweep::take_over(ctx, waiting, holder).await?,
        Task::Sweep => {
            return Ok(match sweep::sweep(ctx).await? {
                Swept::Leftovers => Effect::Done,
                Swept::Nothing => Effect::None,
            });
        }
        Task::Runner(what, record) => return perform_for(ctx, what, record).await,
    }
    Ok(Effect::Done)
}

async fn perform_for(ctx: &Context, what: &RunnerTask, record: &RunnerRecord) -> Result<Effect, Failure> {
    let name = record.name.as_str();
    match what {
        RunnerTask::Note(event) => drop(advance_runner(ctx, name, *event).await?),
        RunnerTask::Judge(hello) => {
            return Ok(match job_gate::judge(ctx, name, hello).await? {
                Judged::Answered => Effect::Done,
                Judged::Unknown => Effect::None,
            });
        }
        RunnerTask::Open => job_gate::open(ctx, record).await?,
        RunnerTask::NoteStart(at) => note_start(ctx, name, *at).await?,
        RunnerTask::Ask => sweep::ask_about(ctx, record).await?,
        RunnerTask::End(Outcome::Cancelled, why) => {
            lifecycle::cancel(ctx, name, record.job, why.as_deref()).await?;
        }
        RunnerTask::End(outcome, why) => lifecycle::end(ctx, name, *outcome, why.as_deref()).await?,
        RunnerTask::TearDown => lifecycle::tear_down(ctx, name).await?,
    }
    Ok(Effect::Done)
}

async fn boot(ctx: &Context, host: &dyn RunnerHost, size: &SlotSize) -> Result<(), Failure> {
    let asked = ctx.clock.now();
    match host.boot(size.clone()).await {
        Ok(slot) => {
            ctx.pool.asked_for(slot, asked);
            Ok(())
        }
        Err(failure) => {
            report_boot_failure(ctx, &failure.to_string()).await?;
            Err(failure)
        }
    }
}

async fn report_boot_failure(ctx: &Context, why: &str) -> Result<(), Failure> {
    tracing::error!(why, "failed to boot a slot");
    let what = format!("failed to boot a slot: {why}");
    let key = AlertKey::new(AlertKind::RunnerBootFailure, None);
    ctx.alerts.raise(Alert::new(&key, None, &what, ctx.clock.now())).await
}

/// Frees a job whose runner has no record: the worker died before it wrote the record, so it did not call GitHub.
async fn release(ctx: &Context, job: JobId, holder: &Holder) -> Result<(), Failure> {
    let runner: Option<RunnerRecord> = records::load(ctx.ledger.as_ref(), &holder.runner).await?;
    if runner.is_some() {
        return Ok(());
    }
    assignment::take_over(ctx, job, holder, &format!("runner {} is gone", holder.runner)).await
}
