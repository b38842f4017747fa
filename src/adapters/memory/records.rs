//! The ledger's records, and when each expires.

use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Default)]
pub(super) struct Records {
    by_key: BTreeMap<Key, Record>,
    /// When to forget what; holds exactly the records that are not kept for ever.
    expiries: BTreeSet<(DateTime<Utc>, Key)>,
}

struct Record {
    stored: Stored,
    expires_at: Option<DateTime<Utc>>,
}

impl Records {
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        while self.expiries.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiries.pop_first() {
                self.by_key.remove(&key);
            }
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
            Keep::For(time) => now.checked_add_signed(TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)),
        };
        if let Some(at) = expires_at {
            self.expiries.insert((at, key.clone()));
        }
        let stored = Stored {
            version,
            value: value.to_owned(),
        };
        self.by_key.insert(key.clone(), Record { stored, expires_at });
        Put::Written(version)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(at) = self.by_key.remove(key).and_then(|record| record.expires_at) {
            self.expiries.remove(&(at, key.clone()));
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
