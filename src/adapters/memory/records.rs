//! The records of the ledger and their expiry.

use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Default)]
pub(super) struct Records {
    by_key: BTreeMap<Key, Record>,
    /// The expiry times; holds exactly the records that are not kept for ever.
    expiries: BTreeSet<(DateTime<Utc>, Key)>,
    /// The spare records, the least recently written first.
    spare: BTreeSet<(u64, Key)>,
    max_spare: usize,
    writes: u64,
}

struct Record {
    stored: Stored,
    expires_at: Option<DateTime<Utc>>,
    /// The record's position among the spare records.
    spare_at: Option<u64>,
}

impl Records {
    pub(super) fn new(max_spare: u64) -> Self {
        Self {
            max_spare: usize::try_from(max_spare).unwrap_or(usize::MAX),
            ..Self::default()
        }
    }

    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        while let Some((_, key)) = self.expiries.first().filter(|(at, _)| *at <= now).cloned() {
            self.remove(&key);
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Stored> {
        Some(self.by_key.get(key)?.stored.clone())
    }

    pub(super) fn put(&mut self, key: &Key, value: &str, expected: Option<u64>, keep: Keep, now: DateTime<Utc>) -> Put {
        if self.by_key.get(key).map(|record| record.stored.version) != expected {
            return Put::Conflict;
        }
        self.remove(key);
        let version = expected.unwrap_or_default() + 1;
        let expires_at = match keep {
            Keep::Forever => None,
            Keep::For(time) | Keep::Spare(time) => {
                now.checked_add_signed(TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX))
            }
        };
        if let Some(at) = expires_at {
            self.expiries.insert((at, key.clone()));
        }
        let stored = Stored {
            version,
            value: value.to_owned(),
        };
        self.writes += 1;
        let spare_at = matches!(keep, Keep::Spare(_)).then_some(self.writes);
        self.spare.extend(spare_at.map(|at| (at, key.clone())));
        let record = Record {
            stored,
            expires_at,
            spare_at,
        };
        self.by_key.insert(key.clone(), record);
        while self.spare.len() > self.max_spare
            && let Some((_, oldest)) = self.spare.first().cloned()
        {
            self.remove(&oldest);
        }
        Put::Written(version)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(record) = self.by_key.remove(key) else { return };
        if let Some(at) = record.expires_at {
            self.expiries.remove(&(at, key.clone()));
        }
        if let Some(at) = record.spare_at {
            self.spare.remove(&(at, key.clone()));
        }
    }

    pub(super) fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Vec<(String, Stored)> {
        let from = match after {
            Some(id) => Bound::Excluded(Key::new(kind, id)),
            None => Bound::Included(Key::new(kind, "")),
        };
        self.by_key
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.kind == kind)
            .take(limit)
            .map(|(key, record)| (key.id.clone(), record.stored.clone()))
            .collect()
    }
}
