//! The health of jitgate and its slots, where no base runner is configured.

use crate::app::pool::status::BoundsSource;
use crate::app::rollout::offline::recorded_outage;
use crate::app::runners::list::{RunnerFilter, list_runners};
use crate::cli::exit::Failure;
use crate::cli::pool;
use crate::cli::session::Session;
use crate::config::Config;
use crate::domain::base_runner::problem::Problem;
use crate::domain::pool::Bounds;
use crate::runtime;
use serde::Serialize;

/// The slots of jitgate.
#[derive(Debug, Serialize)]
pub(super) struct Slots {
    /// The place where jitgate answers; none if it does not.
    pub(super) gate: Option<String>,
    /// The bounds in effect, or the configured ones if the store cannot be read.
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) target: u32,
    pub(super) source: BoundsSource,
    /// The number of runners; none if the store cannot be read.
    pub(super) runners: Option<usize>,
    /// The missing slots, in words.
    pub(super) missing: Option<String>,
    #[serde(skip)]
    pub(super) problems: Vec<Problem>,
}

/// Looks at the running jitgate and its records.
pub(super) async fn look(config: &Config, session: &Session, allow_zero_capacity: bool) -> Slots {
    let mut problems = Vec::new();
    let gate = match runtime::running_gate(config).await {
        Ok(place) => Some(place),
        Err(silent) => {
            problems.push(Problem::new(
                "jitgate",
                silent.to_string(),
                "start `jitgate serve`, or read its log",
            ));
            None
        }
    };
    let mut bounds = (pool::configured_bounds(config), BoundsSource::Configuration);
    let (runners, missing) = match records(config, session).await {
        Ok(records) => {
            bounds = records.bounds;
            (Some(records.runners), records.missing)
        }
        Err(failure) => {
            let what = format!("its records cannot be read: {failure}");
            let remedy = "check store.url with `jitgate config check`";
            problems.push(Problem::new("store", what, remedy));
            (None, None)
        }
    };
    if let Some(missing) = missing.as_ref().filter(|_| !allow_zero_capacity) {
        let remedy = "read the log of the worker, and run `jitgate verify` on its machine";
        problems.push(Problem::new("slots", missing, remedy));
    }
    Slots {
        gate,
        min: bounds.0.min,
        max: bounds.0.max,
        target: bounds.0.target,
        source: bounds.1,
        runners,
        missing,
        problems,
    }
}

/// The state of the slots in the store.
struct Records {
    bounds: (Bounds, BoundsSource),
    runners: usize,
    missing: Option<String>,
}

async fn records(config: &Config, session: &Session) -> Result<Records, Failure> {
    let ledger = session.store()?.ledger.as_ref();
    let filter = RunnerFilter {
        limit: usize::MAX,
        ..RunnerFilter::default()
    };
    let list = list_runners(ledger, &filter).await.map_err(Failure::of_store)?;
    let outage = recorded_outage(ledger).await.map_err(Failure::of_store)?;
    Ok(Records {
        bounds: pool::bounds_in_effect(config, session).await?,
        runners: list.runners.len(),
        missing: outage.map(|outage| outage.summary),
    })
}
