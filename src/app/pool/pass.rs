//! The loop of passes.

use super::task::Task;
use super::{bounds, perform, plan, report};
use crate::app::context::Context;
use crate::ports::{Failure, RunnerHost};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Interval between passes while runners are alive, because events of a machine can be lost.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Time for running tasks after a stop. Interrupted tasks are repeated after the next start.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent tasks.
const MAX_TASKS: usize = 64;

/// Runs passes until `stop` resolves. Running tasks may then end within a time limit.
pub async fn run(ctx: &Arc<Context>, stop: impl Future<Output = ()>) {
    let Some(host) = ctx.host.clone() else {
        stop.await;
        return;
    };
    let mut tasks = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let mut rest = ctx.settings.pool_interval;
        match plan::plan_pass(ctx, host.as_ref()).await {
            Ok(pass) => {
                if report::publish(ctx, pass.seen).await || pass.watch {
                    rest = rest.min(WATCH_INTERVAL);
                }
                for task in pass.tasks {
                    if tasks.len() < MAX_TASKS && ctx.pool.begin(&task) {
                        let (ctx, host) = (ctx.clone(), host.clone());
                        tasks.spawn(async move { finish_task(&ctx, host.as_ref(), task).await });
                    }
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "failed to plan a pass of the pool");
                rest = rest.min(WATCH_INTERVAL);
            }
        }
        tokio::select! {
            () = &mut stop => break,
            () = ctx.pool.woken.notified() => {}
            () = host.changed() => {}
            () = bounds::until_changed(ctx) => {}
            // The life of a runner is evidence for the rollout.
            Some(_) = tasks.join_next() => ctx.rollout_woken.notify_one(),
            () = tokio::time::sleep(rest) => {}
        }
    }
    let landed = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, landed).await.is_err() {
        tracing::info!("unfinished pool tasks resume at the next start");
    }
}

/// Runs one pass with its tasks in sequence. Returns the number of tasks that did their work.
///
/// # Errors
/// The failure of the ledger or of the host.
pub async fn run_once(ctx: &Context) -> Result<usize, Failure> {
    let Some(host) = ctx.host.clone() else { return Ok(0) };
    let mut done = 0;
    let pass = plan::plan_pass(ctx, host.as_ref()).await?;
    report::publish(ctx, pass.seen).await;
    for task in pass.tasks {
        if ctx.pool.begin(&task) && finish_task(ctx, host.as_ref(), task).await {
            done += 1;
        }
    }
    Ok(done)
}

/// Returns true if no task about jobs or runners is planned or running.
///
/// # Errors
/// The failure of the ledger or of the host.
pub async fn is_quiet(ctx: &Context) -> Result<bool, Failure> {
    let Some(host) = ctx.host.clone() else { return Ok(true) };
    let tasks = plan::plan_pass(ctx, host.as_ref()).await?.tasks;
    let matters = |task: &Task| *task != Task::Sweep;
    Ok(!tasks.iter().any(matters) && ctx.pool.is_idle())
}

/// Records the pool as it is now, for commands that come after the last pass.
///
/// # Errors
/// The failure of the ledger or of the host.
pub async fn record_state(ctx: &Context) -> Result<(), Failure> {
    let Some(host) = ctx.host.clone() else { return Ok(()) };
    let pass = plan::plan_pass(ctx, host.as_ref()).await?;
    report::write(ctx, pass.seen).await;
    Ok(())
}

/// Returns true if another pass would do nothing now: GitHub's runners were listed, no slot boots, and each runner is at work.
///
/// # Errors
/// The failure of the ledger or of the host.
pub async fn is_settled(ctx: &Context) -> Result<bool, Failure> {
    let Some(host) = ctx.host.clone() else { return Ok(true) };
    let pass = plan::plan_pass(ctx, host.as_ref()).await?;
    Ok(pass.tasks.is_empty() && !pass.is_starting && ctx.pool.is_idle() && ctx.pool.has_swept())
}

async fn finish_task(ctx: &Context, host: &dyn RunnerHost, task: Task) -> bool {
    let outcome = perform::perform(ctx, host, &task).await;
    ctx.pool.end(&task, outcome, ctx.clock.now())
}
