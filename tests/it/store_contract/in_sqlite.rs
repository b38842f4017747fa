//! The SQLite engine under test, on a clock that moves when told to.

use super::engine::{Engine, Store, moment};
use async_trait::async_trait;
use chrono::TimeDelta;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::sqlite::{OpenMode, SqliteStore};
use jitgate::ports::queue::Bounds;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(super) struct InSqlite {
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl InSqlite {
    pub(super) fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::at(moment(0))),
            folder: TempDir::new().expect("a folder"),
        }
    }
}

#[async_trait]
impl Engine for InSqlite {
    async fn open(&self, bounds: Bounds) -> Arc<dyn Store> {
        let path = self.folder.path().join("jitgate.db");
        let opened = SqliteStore::open(&path, OpenMode::Serve, self.clock.clone(), bounds);
        Arc::new(opened.expect("the store opens"))
    }

    fn brief(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(TimeDelta::from_std(time).expect("in range"));
    }
}
