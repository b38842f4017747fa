//! The journal of changes in the ledger.

use crate::app::records;
use crate::domain::operator_change::OperatorChange;
use crate::ports::change_journal::ChangeJournal;
use crate::ports::{Failure, Ledger};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// The journal in a ledger.
pub struct ChangeLedger {
    ledger: Arc<dyn Ledger>,
    /// The retention of finished records.
    retention: Duration,
}

impl ChangeLedger {
    /// Returns the journal in this ledger.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, retention: Duration) -> Self {
        Self { ledger, retention }
    }
}

#[async_trait]
impl ChangeJournal for ChangeLedger {
    async fn add(&self, change: &OperatorChange) -> Result<(), Failure> {
        let stored = |record: &mut Option<OperatorChange>| *record = Some(change.clone());
        records::update(self.ledger.as_ref(), &change.id, self.retention, stored).await
    }

    async fn newest(&self, limit: usize) -> Result<Vec<OperatorChange>, Failure> {
        // All ids begin with a digit, and the ids of newer changes come first.
        records::with_prefix(self.ledger.as_ref(), "", limit).await
    }
}
