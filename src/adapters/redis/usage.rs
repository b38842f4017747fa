//! The load of all shards, because a script sees its own shard only and the bounds apply to all of them.

use super::rows::ShardDepth;
use super::shards::Shard;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The age at which the loads are read again. Deliveries that arrive in between can exceed a bound.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The deliveries of one shard, or of several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) unfinished: u64,
    pub(super) unfinished_bytes: u64,
    pub(super) body_bytes: u64,
}

impl Load {
    pub(super) fn of(depth: &ShardDepth) -> Self {
        Self {
            unfinished: depth.unfinished,
            unfinished_bytes: depth.unfinished_bytes,
            body_bytes: depth.body_bytes,
        }
    }
}

/// The latest known load of every shard.
#[derive(Default)]
pub(super) struct Usage(Mutex<Option<Reading>>);

struct Reading {
    at: Instant,
    loads: Loads,
}

type Loads = Vec<(Shard, Load)>;

impl Usage {
    /// Returns the loads if they were read recently.
    pub(super) fn recent(&self) -> Option<Loads> {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = reading.as_ref().filter(|reading| reading.at.elapsed() < MAX_AGE);
        recent.map(|reading| reading.loads.clone())
    }

    pub(super) fn store(&self, loads: &Loads) {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *reading = Some(Reading {
            at: Instant::now(),
            loads: loads.clone(),
        });
    }
}

/// Returns the sum of all loads except that of `shard`.
pub(super) fn load_elsewhere(shard: Shard, loads: &Loads) -> Load {
    let others = loads.iter().filter(|(other, _)| *other != shard);
    others.fold(Load::default(), |sum, (_, load)| Load {
        unfinished: sum.unfinished + load.unfinished,
        unfinished_bytes: sum.unfinished_bytes + load.unfinished_bytes,
        body_bytes: sum.body_bytes + load.body_bytes,
    })
}
