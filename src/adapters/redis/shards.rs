//! The distribution over shards, and the keys of a shard.

use sha2::{Digest, Sha256};
use std::num::NonZeroU32;

/// All shards of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shards(pub(super) NonZeroU32);

/// One shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard(u32);

impl Shards {
    /// Returns the shard of a name. It is the same in every version, since stored data does not move.
    pub(super) fn of(self, name: &str) -> Shard {
        let hash = Sha256::digest(name);
        let [a, b, c, d, ..]: [u8; 32] = hash.into();
        Shard(u32::from_be_bytes([a, b, c, d]) % self.0)
    }

    pub(super) fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0.get()).map(Shard)
    }

    /// Splits a text that [`Shard::mark`] created.
    pub(super) fn marked(self, text: &str) -> Option<(Shard, &str)> {
        let (shard, rest) = text.split_once('/')?;
        let shard = shard.parse().ok().filter(|shard| *shard < self.0.get())?;
        Some((Shard(shard), rest))
    }

    pub(super) fn count(self) -> u64 {
        self.0.get().into()
    }

    pub(super) fn is_one(self) -> bool {
        self.0.get() == 1
    }
}

impl Shard {
    /// Returns the key `name` in this shard.
    pub(super) fn key(self, name: impl std::fmt::Display) -> String {
        format!("{{jitgate:{}}}:{name}", self.0)
    }

    /// Prefixes a text with the shard.
    pub(super) fn mark(self, text: &str) -> String {
        format!("{}/{text}", self.0)
    }

    /// Returns the key of the stream, which tells every script of the queue its shard.
    pub(super) fn queue(self) -> String {
        self.key("queue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_shard() {
        let shards = Shards(NonZeroU32::new(16).expect("not zero"));
        assert_eq!(shards.of("octo-org/chem").queue(), "{jitgate:0}:queue");
        let used: std::collections::BTreeSet<u32> = (0..200).map(|n| shards.of(&n.to_string()).0).collect();
        assert_eq!(used.len(), 16, "they are spread");
    }
}
