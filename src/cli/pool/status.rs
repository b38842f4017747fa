//! `jitgate pool status`.

use super::args::Status;
use crate::app::pool::status::{BoundsSource, PoolStatus, pool_state, pool_status};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash, time};
use crate::config::Config;
use crate::domain::place::display_name;
use crate::domain::pool::Bounds;
use crate::runtime::{self, LockHolder, PoolLock};
use anyhow::Context;
use serde::Serialize;
use std::io::{self, Write};

/// The pool of this machine, and the process that holds its lock.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// The name of the pool; none before the first start of a worker.
    pool: Option<String>,
    lock: Option<LockHolder>,
    #[serde(flatten)]
    status: PoolStatus,
}

/// Runs `pool status`.
pub(super) async fn run(_: &Status, session: &Session) -> Outcome {
    let shown = shown(session.config()?, session).await?;
    session.answer(&shown, |out| print(out, &shown))?;
    Ok(Exit::Done)
}

/// Returns the process that holds the lock of the pool.
pub(super) fn holder(config: &Config) -> Result<Option<LockHolder>, Failure> {
    PoolLock::holder(&config.server.state_dir)
        .context("cannot read the lock of the pool")
        .map_err(|error| {
            Failure::new(Exit::Configuration, error).remedy("run this command as the user of the worker, or as root")
        })
}

/// Returns the configured bounds.
pub(in crate::cli) fn configured(config: &Config) -> Bounds {
    Bounds {
        min: config.runners.min,
        max: config.runners.max,
        target: config.runners.target,
        max_per_repository: config.runners.max_per_repository.map(Into::into),
    }
}

/// Returns the bounds in effect, and their source.
pub(in crate::cli) async fn bounds_in_effect(
    config: &Config,
    session: &Session,
) -> Result<(Bounds, BoundsSource), Failure> {
    let configured = configured(config);
    let Some(pool) = runtime::pool_name(&config.server.state_dir) else {
        return Ok((configured, BoundsSource::Configuration));
    };
    let state = pool_state(session.store()?.ledger.as_ref(), &pool).await;
    let has_worker = holder(config)?.is_some();
    Ok(state
        .map_err(Failure::of_store)?
        .bounds_in_effect(&configured, has_worker))
}

/// Gathers the state of the pool.
pub(super) async fn shown(config: &Config, session: &Session) -> Result<Shown, Failure> {
    let lock = holder(config)?;
    let pool = runtime::pool_name(&config.server.state_dir);
    let ledger = session.store()?.ledger.as_ref();
    let status = pool_status(ledger, pool.as_deref(), &configured(config), lock.is_some()).await;
    Ok(Shown {
        pool,
        lock,
        status: status.map_err(Failure::of_store)?,
    })
}

pub(super) fn print(out: &mut dyn Write, shown: &Shown) -> io::Result<()> {
    let status = &shown.status;
    let source = match (status.source, &status.set) {
        (BoundsSource::Scale, Some(set)) => format!("set by {set} at {}", time(set.at)),
        (BoundsSource::Worker, _) => "from the command line of the worker".to_owned(),
        _ => "from the configuration".to_owned(),
    };
    writeln!(
        out,
        "slots      min {}, max {}, target {} ({source})",
        status.min, status.max, status.target
    )?;
    writeln!(out, "worker     {}", or_dash(shown.lock.as_ref()))?;
    writeln!(out, "last pass  {}", or_dash(status.last_pass.map(time)))?;
    if !status.slots.is_empty() {
        writeln!(out)?;
        let rows = status.slots.iter().map(|slot| {
            [
                display_name(slot.index),
                or_dash(slot.size.as_ref()),
                slot.state.clone(),
                if slot.busy { "busy" } else { "idle" }.to_owned(),
                or_dash(slot.runner.as_ref()),
            ]
        });
        table::print(out, ["SLOT", "SIZE", "STATE", "USE", "RUNNER"], rows)?;
    }
    if !status.runners.is_empty() {
        writeln!(out)?;
        let rows = status.runners.iter().map(|listed| {
            [
                listed.runner.name.clone(),
                listed.runner.state.as_str().to_owned(),
                listed.runner.repository.to_string(),
                listed.runner.job.to_string(),
                or_dash(listed.since.map(time)),
            ]
        });
        table::print(out, ["RUNNER", "STATE", "REPOSITORY", "JOB", "SINCE"], rows)?;
    }
    if !status.waiting.is_empty() {
        writeln!(out)?;
        let rows = status.waiting.iter().map(|waiting| {
            [
                waiting.job.to_string(),
                waiting.repository.to_string(),
                or_dash(waiting.size.as_ref()),
                time(waiting.since),
                or_dash(waiting.not_before.map(time)),
            ]
        });
        table::print(out, ["WAITING JOB", "REPOSITORY", "SIZE", "SINCE", "NOT BEFORE"], rows)?;
    }
    Ok(())
}
