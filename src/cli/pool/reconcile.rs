//! `jitgate pool reconcile`: one pass of the worker.

use super::args::Reconcile;
use super::status::{self, Shown};
use super::worker_settings;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::pool_lock::take_lock;
use crate::cli::serve;
use crate::cli::session::Session;
use crate::cli::{logging, signals};
use crate::runtime::{self, Ended, PoolAccess, Reconciled};
use anyhow::anyhow;
use serde::Serialize;

/// The result, and the pool afterwards.
#[derive(Serialize)]
struct Answer<'a> {
    result: &'static str,
    #[serde(flatten)]
    pool: &'a Shown,
}

/// Runs `pool reconcile`.
pub(super) async fn run(args: &Reconcile, session: &Session) -> Outcome {
    let loaded = worker_settings::load(&args.worker, session).await?;
    let config = &loaded.config;
    logging::configured(&session.global, &config.telemetry);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let lock = take_lock(config, session, PoolAccess::Alone, "pool reconcile").await?;
    let stop = async {
        if signals::stop().await.is_err() {
            std::future::pending().await
        }
    };
    let reconciled = runtime::reconcile(config, stop).await?;
    let result = match reconciled {
        Reconciled::Settled => "settled",
        Reconciled::Unsettled => "unsettled",
        Reconciled::Stopped => "stopped",
        Reconciled::NameTaken => return serve::outcome(Some(Ended::NameTaken)),
        Reconciled::NoStore => {
            let error = anyhow!("the store did not answer, so the pass did nothing");
            return Err(Failure::new(Exit::Store, error)
                .remedy("check that the server of store.url runs and is reachable; the next pass tries again"));
        }
    };
    drop(lock);
    let pool = status::shown(config, session).await?;
    session.answer(&Answer { result, pool: &pool }, |out| {
        let text = match reconciled {
            Reconciled::Settled => "nothing more can be done now",
            Reconciled::Unsettled => "the time of a pass is over, and some runners still start",
            _ => "stopped early",
        };
        writeln!(out, "pass: {text}")?;
        status::print(out, &pool)
    })?;
    Ok(if reconciled == Reconciled::Stopped {
        Exit::Negative
    } else {
        Exit::Done
    })
}
