//! The record of runners that a worker misses.

use super::access::Record;
use crate::domain::rollout::Offline;
use crate::ports::ledger::Kind;
use serde::{Deserialize, Serialize};

/// The runners that a worker misses. It exists only while some are missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfflineRecord {
    /// The slots of its host.
    pub slots: Option<Offline>,
    /// The operator's own runners.
    pub base: Option<Offline>,
}

impl Record for OfflineRecord {
    const KIND: Kind = Kind::Offline;
    fn is_unfinished(&self) -> bool {
        false
    }
}
