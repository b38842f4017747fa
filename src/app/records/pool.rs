//! The records of a pool: the bounds that an operator set, and the last pass of a worker.

use super::access::Record;
use crate::domain::place::PlacedSlot;
use crate::domain::pool::Bounds;
use crate::domain::rollout::Origin;
use crate::domain::slot::KeptDisk;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The bounds that an operator set. They apply instead of the configured ones until they are changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundsRecord {
    pub min: u32,
    pub max: u32,
    pub target: u32,
    /// The person, the reason and the time.
    pub origin: Origin,
    /// The ids of the slots that are removed although they are busy. An id is never used again.
    #[serde(default)]
    pub remove: Vec<String>,
}

impl BoundsRecord {
    /// Returns the bounds with the other limits of the pool.
    #[must_use]
    pub fn bounds(&self, others: &Bounds) -> Bounds {
        let max = self.max.max(self.min);
        Bounds {
            min: self.min,
            max,
            target: self.target.clamp(self.min, max),
            max_per_repository: others.max_per_repository,
        }
    }
}

impl Record for BoundsRecord {
    const KIND: Kind = Kind::Bounds;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// The pool as the last pass of a worker saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The name of the worker's instance.
    pub instance: String,
    /// The name of its pool.
    pub pool: String,
    /// The time of the pass.
    pub at: DateTime<Utc>,
    pub min: u32,
    pub max: u32,
    pub target: u32,
    pub slots: Vec<PlacedSlot>,
    /// The disks of failed slots that are kept for inspection.
    #[serde(default)]
    pub kept_disks: Vec<KeptDisk>,
}

impl Record for PoolRecord {
    const KIND: Kind = Kind::Pool;
    fn is_unfinished(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    #[test]
    fn bounds_that_contradict_each_other_are_put_in_order() {
        let others = Bounds {
            min: 0,
            max: 9,
            target: 9,
            max_per_repository: Some(2),
        };
        for (min, max, target, expected) in [(1, 4, 2, (1, 4, 2)), (3, 2, 9, (3, 3, 3)), (2, 4, 0, (2, 4, 2))] {
            let record = BoundsRecord {
                min,
                max,
                target,
                origin: Origin::ourselves("a test", at(0)),
                remove: Vec::new(),
            };
            let bounds = record.bounds(&others);
            assert_eq!((bounds.min, bounds.max, bounds.target), expected);
            assert_eq!(bounds.max_per_repository, Some(2));
        }
    }
}
