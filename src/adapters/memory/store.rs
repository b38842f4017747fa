//! Both ports over one lock. Every step is synchronous, reads the injected clock and releases the lock before it
//! returns.

use super::deliveries::Deliveries;
use super::records::Records;
use crate::domain::ids::DeliveryId;
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use crate::ports::promise::{Promise, Weakness};
use crate::ports::queue::{Accepted, Arrival, Bounds, Delivery, Depth, Filter, Lease};
use crate::ports::{Clock, Durability, Failure, Ledger, Queue};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A queue and a ledger in the memory of one process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    deliveries: Deliveries,
    records: Records,
}

impl MemoryStore {
    /// Creates an empty store that uses the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                deliveries: Deliveries::new(bounds),
                records: Records::new(bounds.max_spare_records),
            }),
            changed: Notify::new(),
        }
    }

    /// Removes everything that has expired, then runs one step.
    fn step<T>(&self, work: impl FnOnce(&mut State, DateTime<Utc>) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.deliveries.expire(now);
        state.records.expire(now);
        work(&mut state, now)
    }

    /// Runs a step that can make a delivery due, and wakes the waiting workers.
    fn step_and_wake<T>(&self, work: impl FnOnce(&mut State, DateTime<Utc>) -> T) -> T {
        let result = self.step(work);
        self.changed.notify_waiters();
        result
    }
}

#[async_trait]
impl Queue for MemoryStore {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure> {
        Ok(self.step_and_wake(|state, now| state.deliveries.accept(arrival, now)))
    }

    async fn claim(&self, _consumer: &str, limit: usize, lease_for: Duration) -> Result<Vec<Lease>, Failure> {
        Ok(self.step(|state, now| state.deliveries.claim(limit, now, lease_for)))
    }

    async fn hold(&self, lease: &Lease, lease_for: Duration) -> Result<bool, Failure> {
        Ok(self.step(|state, now| state.deliveries.hold(lease, now, lease_for)))
    }

    async fn ack(&self, lease: Lease) -> Result<(), Failure> {
        self.step_and_wake(|state, now| state.deliveries.ack(&lease, now));
        Ok(())
    }

    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure> {
        self.step_and_wake(|state, now| state.deliveries.retry(&lease, now, delay, cause));
        Ok(())
    }

    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure> {
        self.step_and_wake(|state, now| state.deliveries.dead_letter(&lease, now, cause));
        Ok(())
    }

    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure> {
        Ok(self.step_and_wake(|state, now| state.deliveries.requeue(id, now)))
    }

    async fn wait(&self, at_most: Duration) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // From here on every change is noticed, also one between the check and the wait.
        changed.as_mut().enable();
        let until_due = self.step(|state, now| {
            let due_at = state.deliveries.next_due(now)?;
            Some((due_at - now).to_std().unwrap_or_default())
        });
        let at_most = until_due.map_or(at_most, |until_due| until_due.min(at_most));
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, Failure> {
        Ok(self.step(|state, now| state.deliveries.get(id, now)))
    }

    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure> {
        Ok(self.step(|state, _| state.deliveries.forget_dead(id)))
    }

    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure> {
        Ok(self.step(|state, now| state.deliveries.newest(filter, limit, now)))
    }

    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.step(|state, _| state.deliveries.body(id)))
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        Ok(self.step(|state, now| state.deliveries.depth(now)))
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        Ok(self.step(|state, _| state.records.get(key)))
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        Ok(self.step(|state, now| state.records.put(key, value, expected, keep, now)))
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.step(|state, _| state.records.remove(key));
        Ok(())
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        Ok(self.step(|state, _| state.records.list(kind, after, limit)))
    }
}

#[async_trait]
impl Durability for MemoryStore {
    async fn promises(&self) -> Result<Vec<Promise>, Failure> {
        Ok(vec![Promise {
            place: "this process".to_owned(),
            setting: "store.url",
            value: Some("memory:".to_owned()),
            weakness: Some(Weakness {
                can_lose: "everything, when the process ends",
                remedy: "store.url = \"sqlite:PATH\"",
            }),
        }])
    }

    async fn open_place(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    async fn try_out(&self) -> Result<(), Failure> {
        Ok(())
    }
}
