//! The record of who goes by an instance name.

use super::access::Record;
use crate::ports::ledger::Kind;
use serde::{Deserialize, Serialize};

/// A worker that goes by the name. The record is gone soon after that worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Where it runs: the same for whoever comes after it in the same directory of the same running machine, and of nobody
    /// else.
    pub place: String,
    /// Which process it is.
    pub process: String,
    /// How often it was heard of.
    pub beat: u64,
}

impl Record for InstanceRecord {
    const KIND: Kind = Kind::Instance;
    fn is_unfinished(&self) -> bool {
        false
    }
}
