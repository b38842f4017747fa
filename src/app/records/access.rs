//! Access to the records in the ledger, independent of their type.

use crate::domain::alert::{Alert, AlertState};
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use crate::ports::{Failure, Ledger};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The layout version of all payloads.
const LAYOUT: u32 = 1;
/// Number of records in one page of a list.
const PAGE: usize = 500;
/// Maximum number of attempts of a compare-and-set that loses to another writer.
const MAX_CONFLICTS: u32 = 50;

/// A type of record, with its kind of key and its retention.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync {
    const KIND: Kind;

    /// Returns true if the record must outlive `retention_s`.
    fn is_unfinished(&self) -> bool;

    /// Returns the retention of the record. Finished records are kept for `retention`.
    fn keep(&self, retention: Duration) -> Keep {
        if self.is_unfinished() {
            Keep::Forever
        } else {
            Keep::For(retention)
        }
    }

    /// Returns the stored form of the record.
    #[must_use]
    fn shrunk(self) -> Self {
        self
    }
}

impl Record for Alert {
    const KIND: Kind = Kind::Alert;
    fn is_unfinished(&self) -> bool {
        self.state != AlertState::Resolved
    }
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

/// Returns a record.
///
/// # Errors
/// The failure of the ledger, or [`Failure::Permanent`] if this version cannot parse the payload.
pub async fn load<R: Record>(ledger: &dyn Ledger, id: &str) -> Result<Option<R>, Failure> {
    Ok(load_versioned(ledger, &Key::new(R::KIND, id))
        .await?
        .map(|(record, _)| record))
}

/// Changes a record by compare-and-set and returns the value of `change`. `change` receives the record, or none if there is
/// none, and runs again if another writer was faster: only the value of the run whose result is stored is returned. A record
/// that `change` leaves as it is, or takes away, is not written.
///
/// # Errors
/// The failure of the ledger.
pub async fn update<R: Record, T>(
    ledger: &dyn Ledger,
    id: &str,
    retention: Duration,
    mut change: impl FnMut(&mut Option<R>) -> T + Send,
) -> Result<T, Failure> {
    let key = Key::new(R::KIND, id);
    for _ in 0..MAX_CONFLICTS {
        let (old, version) = load_versioned::<R>(ledger, &key).await?.unzip();
        let mut new = old.clone();
        let value = change(&mut new);
        let Some(new) = new.filter(|new| old.as_ref() != Some(new)) else {
            return Ok(value);
        };
        let new = new.shrunk();
        let keep = new.keep(retention);
        let text = serde_json::to_string(&Versioned { v: LAYOUT, record: new })
            .map_err(|error| Failure::Permanent(format!("failed to write record {key}: {error}")))?;
        if let Put::Written(_) = ledger.put(&key, &text, version, keep).await? {
            return Ok(value);
        }
    }
    Err(Failure::Transient(format!(
        "too many concurrent changes of record {key}"
    )))
}

/// Changes a record if there is one, like [`update`]. Returns none if there is none.
///
/// # Errors
/// The failure of the ledger.
pub async fn change<R: Record, T>(
    ledger: &dyn Ledger,
    id: &str,
    retention: Duration,
    mut change: impl FnMut(&mut R) -> T + Send,
) -> Result<Option<T>, Failure> {
    update(ledger, id, retention, |record: &mut Option<R>| {
        record.as_mut().map(&mut change)
    })
    .await
}

/// Returns at most `limit` records of one type.
///
/// # Errors
/// The failure of the ledger.
pub async fn list<R: Record>(ledger: &dyn Ledger, limit: usize) -> Result<Vec<R>, Failure> {
    let (records, _) = page(ledger, None, limit).await?;
    records.into_iter().collect()
}

/// Returns the records of one type, each with the result of parsing it.
pub type Page<R> = Vec<Result<R, Failure>>;

/// Returns at most `limit` records of one type in ascending order of id, starting after `after`, and the id for the
/// next page if there can be more.
///
/// # Errors
/// The failure of the ledger.
pub async fn page<R: Record>(
    ledger: &dyn Ledger,
    after: Option<&str>,
    limit: usize,
) -> Result<(Page<R>, Option<String>), Failure> {
    let rows = ledger.list(R::KIND, after, limit).await?;
    let record = |(id, stored): &(String, Stored)| read(&Key::new(R::KIND, id), &stored.value);
    let records = rows.iter().map(record).collect();
    let is_full = rows.len() == limit;
    Ok((
        records,
        rows.into_iter().next_back().map(|(id, _)| id).filter(|_| is_full),
    ))
}

/// Returns at most `limit` records whose id begins with `prefix`, in ascending order of id. A record that this version
/// cannot parse is logged and skipped.
///
/// # Errors
/// The failure of the ledger.
pub async fn with_prefix<R: Record>(ledger: &dyn Ledger, prefix: &str, limit: usize) -> Result<Vec<R>, Failure> {
    let rows = ledger.list(R::KIND, Some(prefix), limit).await?;
    let of_prefix = rows.iter().take_while(|(id, _)| id.starts_with(prefix));
    let records = of_prefix.filter_map(|(id, stored)| {
        let record = read(&Key::new(R::KIND, id), &stored.value);
        record
            .inspect_err(|failure| tracing::error!(%failure, "skipped an unreadable record"))
            .ok()
    });
    Ok(records.collect())
}

/// Deletes a record.
///
/// # Errors
/// The failure of the ledger.
pub async fn remove<R: Record>(ledger: &dyn Ledger, id: &str) -> Result<(), Failure> {
    ledger.remove(&Key::new(R::KIND, id)).await
}

/// Returns every record of one type, read in pages. It is meant for types with few records. A record that this version
/// cannot parse is logged and skipped.
///
/// # Errors
/// The failure of the ledger.
pub async fn all<R: Record>(ledger: &dyn Ledger) -> Result<Vec<R>, Failure> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (records, next) = page::<R>(ledger, after.as_deref(), PAGE).await?;
        for record in records {
            match record {
                Ok(record) => found.push(record),
                Err(failure) => tracing::error!(%failure, "skipped an unreadable record"),
            }
        }
        match next {
            Some(_) => after = next,
            None => return Ok(found),
        }
    }
}

async fn load_versioned<R: Record>(ledger: &dyn Ledger, key: &Key) -> Result<Option<(R, u64)>, Failure> {
    let Some(stored) = ledger.get(key).await? else {
        return Ok(None);
    };
    Ok(Some((read(key, &stored.value)?, stored.version)))
}

fn read<R: Record>(key: &Key, text: &str) -> Result<R, Failure> {
    let unreadable = |why: String| Failure::Permanent(format!("cannot read record {key}: {why}"));
    let versioned: Versioned<R> = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if versioned.v > LAYOUT {
        return Err(unreadable(format!("layout {} is newer than {LAYOUT}", versioned.v)));
    }
    Ok(versioned.record)
}
