//! The journal of the changes that persons made with commands.

use super::Failure;
use crate::domain::operator_change::OperatorChange;
use async_trait::async_trait;

/// A journal. It bounds the space that it uses, and forgets the oldest changes first.
#[async_trait]
pub trait ChangeJournal: Send + Sync {
    /// Adds a change. After a [`Failure`] it may have been added.
    async fn add(&self, change: &OperatorChange) -> Result<(), Failure>;

    /// Returns at most `limit` changes, newest first. An entry that this version cannot read is skipped.
    async fn newest(&self, limit: usize) -> Result<Vec<OperatorChange>, Failure>;
}
