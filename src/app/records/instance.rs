//! The record of the worker that uses an instance name.

use super::access::Record;
use crate::ports::ledger::Kind;
use serde::{Deserialize, Serialize};

/// The worker that uses the name. The record expires soon after this worker ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The place of the worker: equal for its successors in the same directory since the same boot of the machine, and
    /// different for all other workers.
    pub place: String,
    /// The process id.
    pub process: String,
    /// The number of renewals.
    pub beat: u64,
}

impl Record for InstanceRecord {
    const KIND: Kind = Kind::Instance;
    fn is_unfinished(&self) -> bool {
        false
    }
}
