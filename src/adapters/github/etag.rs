//! A cache of responses with their entity tags. A conditional GET that is answered 304 costs no quota.
//!
//! No response is served without a request: GitHub revalidates every use, under the current token. The cache is bounded
//! in entries and bytes and evicts the least recently used entry first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const MAX_ENTRIES: usize = 4096;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// A page of 50 runs or of 100 jobs is smaller.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A response body, its entity tag, and the cursor of the next page.
#[derive(Clone)]
pub(super) struct Tagged {
    pub(super) etag: String,
    pub(super) body: Arc<[u8]>,
    pub(super) next: Option<String>,
}

#[derive(Default)]
pub(super) struct Etags(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_url: HashMap<String, (Tagged, u64)>,
    bytes: usize,
    /// The number of uses so far; the age of an entry is the count at its last use.
    uses: u64,
}

impl Etags {
    pub(super) fn get(&self, url: &str) -> Option<Tagged> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let uses = entries.uses;
        let (tagged, last_use) = entries.by_url.get_mut(url)?;
        *last_use = uses;
        Some(tagged.clone())
    }

    pub(super) fn put(&self, url: &str, tagged: Tagged) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(url);
        if tagged.body.len() > MAX_BODY_BYTES {
            return;
        }
        entries.bytes += tagged.body.len();
        entries.uses += 1;
        let uses = entries.uses;
        entries.by_url.insert(url.to_owned(), (tagged, uses));
        while entries.by_url.len() > MAX_ENTRIES || entries.bytes > MAX_BYTES {
            let oldest = entries.by_url.iter().min_by_key(|(_, (_, last_use))| *last_use);
            let Some(url) = oldest.map(|(url, _)| url.clone()) else {
                break;
            };
            entries.remove(&url);
        }
    }
}

impl Entries {
    fn remove(&mut self, url: &str) {
        if let Some((tagged, _)) = self.by_url.remove(url) {
            self.bytes -= tagged.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(body: Arc<[u8]>) -> Tagged {
        Tagged {
            etag: "x".to_owned(),
            body,
            next: None,
        }
    }

    #[test]
    fn the_least_recently_used_entry_is_evicted_first() {
        let etags = Etags::default();
        let body: Arc<[u8]> = Arc::from(&b"{}"[..]);
        for i in 0..MAX_ENTRIES {
            etags.put(&i.to_string(), tagged(Arc::clone(&body)));
        }
        assert!(etags.get("0").is_some());
        etags.put("one more", tagged(body));
        assert!(etags.get("0").is_some(), "it was just used");
        assert!(etags.get("1").is_none(), "it was the oldest");
    }

    #[test]
    fn the_cache_is_bounded_in_bytes() {
        let etags = Etags::default();
        let big: Arc<[u8]> = vec![0; MAX_BODY_BYTES].into();
        for i in 0..=MAX_BYTES / MAX_BODY_BYTES {
            etags.put(&i.to_string(), tagged(Arc::clone(&big)));
        }
        assert!(etags.get("0").is_none());
        assert!(etags.get("1").is_some());
        etags.put("1", tagged(vec![0; MAX_BODY_BYTES + 1].into()));
        assert!(etags.get("1").is_none(), "the old body must not be kept");
    }
}
