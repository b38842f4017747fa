//! `jitgate pool supervise`: the worker, with the sole right to the pool.

use super::args::Supervise;
use super::credentials_watch::CredentialsWatch;
use super::worker_settings;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::pool_lock::take_lock;
use crate::cli::session::Session;
use crate::cli::{logging, serve, signals};
use crate::config::Role;
use crate::runtime::{self, PoolAccess};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Runs `pool supervise`.
pub(super) async fn run(args: &Supervise, session: &Session) -> Outcome {
    let mut loaded = worker_settings::load(&args.worker, session).await?;
    if let Some(interval) = args.interval {
        loaded.config.runners.interval = Duration::from_secs(interval);
    }
    let config = &loaded.config;
    logging::configured(&session.global, &config.telemetry);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let _lock = take_lock(config, session, PoolAccess::Alone, "pool supervise").await?;
    let no_signals = |error| Failure::new(Exit::Bug, error);
    let mut hangups = signals::hangups().map_err(no_signals)?;
    let process = runtime::serve(config, Role::Worker).await?;
    let mut credentials = CredentialsWatch::new(&args.worker, session, config);
    let mut passes = interval(config.runners.interval);
    passes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(signals::stop());
    let ended = loop {
        tokio::select! {
            stopped = &mut stop => break stopped.map(|()| None).map_err(no_signals)?,
            ended = process.ended() => break Some(ended),
            _ = passes.tick() => credentials.look(&process).await,
            Some(()) = hangups.recv() => credentials.look(&process).await,
        }
    };
    tracing::info!("stopping");
    process.stop().await;
    serve::outcome(ended)
}
