//! The memory engine under test, on a clock that moves when told to.

use super::engine::{Engine, Store, moment};
use async_trait::async_trait;
use chrono::TimeDelta;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::memory::MemoryStore;
use jitgate::ports::queue::Bounds;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct InMemory {
    clock: Arc<ManualClock>,
}

impl InMemory {
    pub(super) fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::at(moment(0))),
        }
    }
}

#[async_trait]
impl Engine for InMemory {
    async fn open(&self, bounds: Bounds) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(self.clock.clone(), bounds))
    }

    fn brief(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(TimeDelta::from_std(time).expect("in range"));
    }
}
