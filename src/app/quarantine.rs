//! Quarantine: while an untrusted job that could reach us waits in a runner group, nothing is minted there.
//!
//! It narrows the window for theft and is no boundary: the job gate is. So it ends by itself, and one author can only hold
//! it a few times in a row, or a flood of pull requests would starve the trusted.

use super::records::{self, Record};
use crate::domain::ids::JobId;
use crate::ports::ledger::Kind;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Quarantines one author can cause within [`AUTHOR_WINDOW`].
const PER_AUTHOR: usize = 3;
/// The window for [`PER_AUTHOR`].
const AUTHOR_WINDOW: TimeDelta = TimeDelta::hours(1);

/// The untrusted jobs of one runner group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupRecord {
    entries: Vec<Held>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    job: JobId,
    author: String,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Record for GroupRecord {
    const KIND: Kind = Kind::Group;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// Puts a group under quarantine because of `job`; a job holds it once, however often its events come.
///
/// # Errors
/// The ledger's failure.
pub async fn begin(
    ledger: &dyn Ledger,
    group: &str,
    job: JobId,
    author: &str,
    now: DateTime<Utc>,
    length: TimeDelta,
    retention: Duration,
) -> Result<(), Failure> {
    records::update(ledger, group, retention, |old: Option<GroupRecord>| {
        let mut record = old.unwrap_or_default();
        record.entries.retain(|held| now - held.since < AUTHOR_WINDOW);
        let known = record.entries.iter().any(|held| held.job == job);
        let by_author = record.entries.iter().filter(|held| held.author == author).count();
        if known || by_author >= PER_AUTHOR {
            return None;
        }
        record.entries.push(Held {
            job,
            author: author.to_owned(),
            since: now,
            until: now + length,
        });
        Some(record)
    })
    .await?;
    Ok(())
}

/// Ends what `job` held: it is over, cancelled, or turned out to be trusted.
///
/// # Errors
/// The ledger's failure.
pub async fn end(
    ledger: &dyn Ledger,
    group: &str,
    job: JobId,
    now: DateTime<Utc>,
    retention: Duration,
) -> Result<(), Failure> {
    records::update(ledger, group, retention, |old: Option<GroupRecord>| {
        let mut record = old?;
        let held = record
            .entries
            .iter_mut()
            .find(|held| held.job == job && held.until > now)?;
        held.until = now;
        Some(record)
    })
    .await?;
    Ok(())
}

/// Whether anything but `job` itself holds the group.
///
/// # Errors
/// The ledger's failure.
pub async fn holds(ledger: &dyn Ledger, group: &str, job: JobId, now: DateTime<Utc>) -> Result<bool, Failure> {
    let record: Option<GroupRecord> = records::load(ledger, group).await?;
    Ok(record.is_some_and(|record| record.entries.iter().any(|held| held.job != job && held.until > now)))
}
