//! The state of a pool in the store: its bounds, and the slots as the last pass of each worker saw them.

use crate::app::records::{self, BoundsRecord, PoolRecord};
use crate::app::runners::list::{self, ListedJob, ListedRunner, RunnerFilter};
use crate::domain::place::PlacedSlot;
use crate::domain::pool::Bounds;
use crate::domain::rollout::Origin;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// The age beyond the newest pass at which the record of another worker is no longer shown.
const MAX_AGE: TimeDelta = TimeDelta::hours(1);
/// The most runners and waiting jobs that are shown.
const MAX_SHOWN: usize = 1000;

/// The records of a pool.
#[derive(Debug, Clone, Default)]
pub struct PoolState {
    /// The bounds that an operator set.
    pub bounds: Option<BoundsRecord>,
    /// The last pass of each worker; usually there is one.
    pub workers: Vec<PoolRecord>,
}

/// Returns the records of a pool.
///
/// # Errors
/// The failure of the ledger.
pub async fn pool_state(ledger: &dyn Ledger, pool: &str) -> Result<PoolState, Failure> {
    let mut workers: Vec<PoolRecord> = records::all(ledger).await?;
    workers.retain(|worker| worker.pool == pool);
    let newest = workers.iter().map(|worker| worker.at).max();
    workers.retain(|worker| newest.is_none_or(|newest| newest - worker.at <= MAX_AGE));
    Ok(PoolState {
        bounds: records::load(ledger, pool).await?,
        workers,
    })
}

impl PoolState {
    /// Returns the slots by their places. The slots of several workers get new places, so that each place is unique.
    #[must_use]
    pub fn slots(&self) -> Vec<PlacedSlot> {
        let mut slots: Vec<PlacedSlot> = self.workers.iter().flat_map(|worker| worker.slots.clone()).collect();
        if self.workers.len() > 1 {
            for (index, slot) in (1..).zip(&mut slots) {
                slot.index = index;
            }
        }
        slots.sort_by_key(|slot| slot.index);
        slots
    }

    /// Returns the bounds in effect, and their source. `has_worker` says if the worker of the last pass still runs.
    #[must_use]
    pub fn bounds_in_effect(&self, configured: &Bounds, has_worker: bool) -> (Bounds, BoundsSource) {
        let newest = self.workers.iter().max_by_key(|worker| worker.at);
        let of_worker = newest.filter(|_| has_worker).map(|worker| Bounds {
            min: worker.min,
            max: worker.max,
            target: worker.target,
            max_per_repository: configured.max_per_repository,
        });
        match (&self.bounds, of_worker) {
            (Some(stored), _) => (stored.bounds(configured), BoundsSource::Scale),
            (None, Some(of_worker)) if of_worker != *configured => (of_worker, BoundsSource::Worker),
            (None, _) => (*configured, BoundsSource::Configuration),
        }
    }

    /// Returns the time of the last pass.
    #[must_use]
    pub fn last_pass(&self) -> Option<DateTime<Utc>> {
        self.workers.iter().map(|worker| worker.at).max()
    }
}

/// The source of the bounds in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundsSource {
    /// `pool scale` stored them.
    Scale,
    /// The running worker was started with them.
    Worker,
    /// The configuration has them.
    Configuration,
}

/// The state of a pool for people and programs.
#[derive(Debug, Clone, Serialize)]
pub struct PoolStatus {
    pub min: u32,
    pub max: u32,
    pub target: u32,
    pub source: BoundsSource,
    /// The person who stored the bounds, and the reason.
    pub set: Option<Origin>,
    pub last_pass: Option<DateTime<Utc>>,
    pub slots: Vec<PlacedSlot>,
    /// The runners of the pool, most recently changed first.
    pub runners: Vec<ListedRunner>,
    /// The waiting jobs of the store, in the order of their arrival.
    pub waiting: Vec<ListedJob>,
}

/// Returns the state of a pool. Without a name, no worker has used the pool yet.
///
/// # Errors
/// The failure of the ledger.
pub async fn pool_status(
    ledger: &dyn Ledger,
    pool: Option<&str>,
    configured: &Bounds,
    has_worker: bool,
) -> Result<PoolStatus, Failure> {
    let state = match pool {
        Some(pool) => pool_state(ledger, pool).await?,
        None => PoolState::default(),
    };
    let filter = RunnerFilter {
        limit: MAX_SHOWN,
        ..RunnerFilter::default()
    };
    let mut list = list::list_runners(ledger, &filter).await?;
    let is_of_pool = |listed: &ListedRunner| {
        let mut workers = state.workers.iter();
        workers.any(|worker| worker.instance == listed.runner.instance)
    };
    list.runners.retain(is_of_pool);
    let (bounds, source) = state.bounds_in_effect(configured, has_worker);
    Ok(PoolStatus {
        min: bounds.min,
        max: bounds.max,
        target: bounds.target,
        source,
        last_pass: state.last_pass(),
        slots: state.slots(),
        set: state.bounds.map(|stored| stored.origin),
        runners: list.runners,
        waiting: list.waiting,
    })
}
