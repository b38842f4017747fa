//! The record of a change that a person made with a command.

use super::access::Record;
use crate::domain::operator_change::OperatorChange;
use crate::ports::ledger::{Keep, Kind};
use std::time::Duration;

/// Minimum retention of a change. Only persons with access to the machine cause them.
const RETENTION_OF_CHANGES: Duration = Duration::from_secs(90 * 24 * 3600);

impl Record for OperatorChange {
    const KIND: Kind = Kind::OperatorChange;
    fn is_unfinished(&self) -> bool {
        false
    }

    fn keep(&self, retention: Duration) -> Keep {
        Keep::For(retention.max(RETENTION_OF_CHANGES))
    }
}
