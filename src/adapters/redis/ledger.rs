//! The ledger: a hash for each record, and an index by id for each kind and shard.

use super::scripts::millis;
use super::shards::Shard;
use super::store::RedisStore;
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use crate::ports::{Failure, Ledger};
use async_trait::async_trait;

/// The records that one script call reads.
const PAGE_SIZE: usize = 200;

#[async_trait]
impl Ledger for RedisStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let [record, ..] = self.keys(key);
        let mut read = redis::cmd("HMGET");
        read.arg(record).arg("version").arg("value");
        let (version, value): (Option<u64>, Option<String>) = self.link().await?.ask(&read).await?;
        Ok(version.zip(value).map(|(version, value)| Stored { version, value }))
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        let version = expected.unwrap_or_default().saturating_add(1);
        let mut call = self.scripts.put.on(&self.keys(key));
        call.arg(&key.id)
            .arg(expected.map_or_else(String::new, |expected| expected.to_string()))
            .arg(version)
            .arg(value)
            .arg(match keep {
                Keep::Forever => String::new(),
                Keep::For(time) | Keep::Spare(time) => millis(time).to_string(),
            })
            .arg(match keep {
                Keep::Forever | Keep::For(_) => String::new(),
                // Each shard gets an equal part.
                Keep::Spare(_) => self.bounds.max_spare_records.div_ceil(self.shards.count()).to_string(),
            });
        let is_written: bool = self.link().await?.run(&self.scripts.put, &call).await?;
        Ok(if is_written {
            Put::Written(version)
        } else {
            Put::Conflict
        })
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let mut call = self.scripts.remove.on(&self.keys(key));
        call.arg(&key.id);
        self.link().await?.run(&self.scripts.remove, &call).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        let mut records = self
            .on_all_shards(|shard| self.list_of(shard, kind, after, limit))
            .await?
            .concat();
        records.sort_by(|(a, _), (b, _)| a.cmp(b));
        records.truncate(limit);
        Ok(records)
    }
}

impl RedisStore {
    /// Returns the key of the record, and the keys of the index, the expiries and the spare records of its kind.
    fn keys(&self, key: &Key) -> [String; 4] {
        let shard = self.shards.of(&key.to_string());
        let [index, expiries, spare] = index_of(shard, key.kind);
        [record_of(shard, key.kind, &key.id), index, expiries, spare]
    }

    async fn list_of(
        &self,
        shard: Shard,
        kind: Kind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored)>, Failure> {
        let [index, ..] = index_of(shard, kind);
        let mut records = Vec::new();
        let mut begin = Some(after.map_or_else(|| "-".to_owned(), |after| format!("({after}")));
        while let Some(from) = begin
            && records.len() < limit
        {
            let mut call = self.scripts.page.on(std::slice::from_ref(&index));
            call.arg(record_of(shard, kind, ""))
                .arg(from)
                .arg(PAGE_SIZE.min(limit - records.len()));
            let page: (Option<String>, Vec<(String, u64, String)>) =
                self.link().await?.run(&self.scripts.page, &call).await?;
            begin = page.0;
            let stored = |(id, version, value)| (id, Stored { version, value });
            records.extend(page.1.into_iter().map(stored));
        }
        Ok(records)
    }
}

fn record_of(shard: Shard, kind: Kind, id: &str) -> String {
    shard.key(format_args!("record:{}:{id}", kind.as_str()))
}

fn index_of(shard: Shard, kind: Kind) -> [String; 3] {
    ["records", "expiring", "surplus"].map(|name| shard.key(format_args!("{name}:{}", kind.as_str())))
}
