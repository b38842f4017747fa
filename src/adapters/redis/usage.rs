//! How full the other shards are. A script sees its own shard only, and the bounds are for all of them.

use super::shards::Shard;
use super::store::RedisStore;
use crate::ports::Failure;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What was learned is good for this long: a bound may be passed by what arrives meanwhile.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What is unfinished, and what is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) unfinished: u64,
    pub(super) unfinished_bytes: u64,
    pub(super) body_bytes: u64,
}

/// The load of every shard, as it was learned last.
#[derive(Default)]
pub(super) struct Usage(Mutex<Option<Learned>>);

struct Learned {
    at: Instant,
    loads: Vec<(Shard, Load)>,
}

impl Usage {
    fn recent(&self) -> Option<Vec<(Shard, Load)>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = known.as_ref().filter(|known| known.at.elapsed() < GOOD_FOR);
        recent.map(|known| known.loads.clone())
    }

    fn learn(&self, loads: &[(Shard, Load)]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Learned {
            at: Instant::now(),
            loads: loads.to_vec(),
        });
    }
}

impl RedisStore {
    /// The load of all shards but one.
    pub(super) async fn load_beside(&self, shard: Shard) -> Result<Load, Failure> {
        if self.shards.is_one() {
            return Ok(Load::default());
        }
        let loads = match self.usage.recent() {
            Some(loads) => loads,
            None => {
                let loads = self.of_all(|shard| self.load(shard)).await?;
                self.usage.learn(&loads);
                loads
            }
        };
        let others = loads.iter().filter(|(other, _)| *other != shard);
        Ok(others.fold(Load::default(), |sum, (_, load)| Load {
            unfinished: sum.unfinished + load.unfinished,
            unfinished_bytes: sum.unfinished_bytes + load.unfinished_bytes,
            body_bytes: sum.body_bytes + load.body_bytes,
        }))
    }

    async fn load(&self, shard: Shard) -> Result<(Shard, Load), Failure> {
        let depth = self.shard_depth(shard).await?;
        let load = Load {
            unfinished: depth.unfinished,
            unfinished_bytes: depth.unfinished_bytes,
            body_bytes: depth.body_bytes,
        };
        Ok((shard, load))
    }
}
