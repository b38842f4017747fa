//! `jitgate pool reconcile`: one pass of the worker. It takes every step that can be taken now and then ends, without
//! listeners. The jobs that it started go on, because each has a keeper of its own.

use super::process::{StartError, claimed, host, is_store_closed};
use super::{identity, wiring};
use crate::adapters::clock::SystemClock;
use crate::app::Context;
use crate::app::events::worker;
use crate::app::incidents;
use crate::app::pool::pass as pool_pass;
use crate::app::recovery::passes;
use crate::app::rollout::pass as rollout_pass;
use crate::app::runners::claim::{Claim, Claimed};
use crate::config::{Config, Role};
use crate::ports::{Clock, Failure};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The interval at which it is checked whether anything is left to do.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The time for a pass in addition to the deadlines of a runner.
const ADDITIONAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The end of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// Nothing more can be done now.
    Settled,
    /// Something still changes, but the time of a pass is over.
    Unsettled,
    /// The pass was stopped.
    Stopped,
    /// Another worker uses its instance name.
    NameTaken,
    /// The store does not answer, or accepts clients without a password.
    NoStore,
}

/// Runs one pass. It ends early when `stop` resolves.
///
/// # Errors
/// Fails if the state directory, the store, the GitHub client or the runner host cannot be set up.
pub async fn reconcile(config: &Config, stop: impl Future<Output = ()>) -> Result<Reconciled, StartError> {
    let server = &config.server;
    identity::prepare_state_dir(&server.state_dir)?;
    let first = identity::own_instance(&server.state_dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = wiring::open_store(config, clock.clone())?;
    if !is_store_closed(config).await? {
        return Ok(Reconciled::NoStore);
    }
    let (instance, claim) = claimed(&server.state_dir, first, &store).await?;
    let host = host(config, Role::Worker, &instance.name, clock.clone())?;
    let ctx = wiring::build_context(config, &clock, &store, host, &instance.name, Arc::new(()))?;
    let Some(claim) = claim else {
        return Ok(Reconciled::NoStore);
    };
    if !claim.is_held().await && !matches!(claim.take().await, Ok(Claimed::Ours)) {
        return Ok(Reconciled::NoStore);
    }
    let limit = config.runners.boot_deadline + config.runners.gate_deadline + ADDITIONAL_TIMEOUT;
    let reconciled = tokio::select! {
        reconciled = work(&ctx, &claim, limit) => reconciled,
        () = claim.until_lost() => return Ok(Reconciled::NameTaken),
        () = stop => Reconciled::Stopped,
    };
    if let Err(failure) = claim.release().await {
        tracing::debug!(%failure, "failed to release instance name {}; the claim expires", claim.name());
    }
    Ok(reconciled)
}

/// Works on deliveries, jobs and slots until nothing more can be done now, or the time is over.
async fn work(ctx: &Arc<Context>, claim: &Claim, limit: Duration) -> Reconciled {
    let (stop, stopped) = watch::channel(false);
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let loops = async {
        tokio::join!(
            worker::run(ctx, claim.name(), wait(stopped.clone())),
            pool_pass::run(ctx, wait(stopped.clone())),
        );
    };
    let ending = async {
        if let Err(failure) = passes::run_once(ctx).await {
            tracing::warn!(%failure, "the search for lost deliveries is incomplete");
        }
        let reconciled = settle(ctx, limit).await;
        stop.send_replace(true);
        reconciled
    };
    let ((), reconciled) = tokio::join!(loops, ending);
    rollout_pass::run_once(ctx).await;
    if let Err(failure) = incidents::pass::run_once(ctx).await {
        tracing::warn!(%failure, "failed to process incidents");
    }
    if let Err(failure) = ctx.alerts.run_until_idle().await {
        tracing::warn!(%failure, "failed to send alerts");
    }
    if let Err(failure) = pool_pass::record_state(ctx).await {
        tracing::warn!(%failure, "failed to record the pass of the pool");
    }
    reconciled
}

async fn settle(ctx: &Context, limit: Duration) -> Reconciled {
    let deadline = Instant::now() + limit;
    loop {
        match is_settled(ctx).await {
            Ok(true) => return Reconciled::Settled,
            Ok(false) => {}
            Err(failure) => tracing::warn!(%failure, "failed to check whether the pass is over"),
        }
        if Instant::now() >= deadline {
            return Reconciled::Unsettled;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The queue comes first: a delivery that is done leaves its job to the pool.
async fn is_settled(ctx: &Context) -> Result<bool, Failure> {
    let depth = ctx.queue.depth().await?;
    Ok(depth.ready == 0 && depth.leased == 0 && pool_pass::is_settled(ctx).await?)
}
