//! Both ports over one file.

use super::body::StoredBody;
use super::deliveries::{self, Incoming, IncomingWork, Then};
use super::failure::OpenError;
use super::listing::{self, Moment};
use super::lock::Lock;
use super::open::{OpenMode, open};
use super::readers::Readers;
use super::records;
use super::time::{earlier, from_ms, to_ms};
use super::writer::Writer;
use crate::domain::ids::DeliveryId;
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use crate::ports::promise::{Promise, Weakness};
use crate::ports::queue::{Accepted, Arrival, Bounds, Delivery, Depth, Filter, Lease, Work};
use crate::ports::{Clock, Durability, Failure, Ledger, Queue};
use async_trait::async_trait;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Writes to every table, and takes it back.
const TRIAL: &str = "
    SAVEPOINT trial;
    INSERT INTO deliveries (place, id, event, received_at, state, due_at, body_bytes)
        VALUES (-1, 'trial', 'trial', 0, 'queued', 0, 1);
    INSERT INTO bodies SELECT number, 0, x'00' FROM deliveries WHERE id = 'trial';
    INSERT INTO records (kind, id, version, value) VALUES ('trial', 'trial', 1, '{}');
    ROLLBACK TO trial;
    RELEASE trial;";

/// Queue and ledger in one file.
pub struct SqliteStore {
    // In this order: the file is closed before the lock is let go.
    writer: Writer,
    readers: Readers,
    _lock: Option<Lock>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    changed: Notify,
}

impl SqliteStore {
    /// Opens the file at `path`, which keeps time by `clock`. Blocks on the disk, for a start or a command only.
    ///
    /// # Errors
    /// [`OpenError`]: held by another process, missing, not ours, newer than we are, or refused by the system.
    pub fn open(path: &Path, mode: OpenMode, clock: Arc<dyn Clock>, bounds: Bounds) -> Result<Self, OpenError> {
        let (connection, lock) = open(path, mode)?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(connection).map_err(|source| OpenError::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            writer,
            readers,
            _lock: lock,
            path: path.to_owned(),
            clock,
            bounds,
            changed: Notify::new(),
        })
    }

    /// Changes something in the next transaction, at the time that has then.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (clock, retention) = (self.clock.clone(), self.bounds.retention);
        let change = move |connection: &Connection| {
            let now = to_ms(clock.now());
            deliveries::expire(connection, now, retention)?;
            records::expire(connection, now)?;
            work(connection, now)
        };
        self.writer.write(change).await
    }

    /// A change after which a delivery may be due that was not before.
    async fn waking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let result = self.change(work).await;
        self.changed.notify_waiters();
        result
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection, Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let now = to_ms(self.clock.now());
        let at = Moment {
            now,
            forgotten: earlier(now, self.bounds.retention),
        };
        self.readers.read(move |connection| look(connection, at)).await
    }
}

#[async_trait]
impl Queue for SqliteStore {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure> {
        let (bounds, incoming) = (self.bounds, pack(arrival));
        self.waking(move |connection, now| deliveries::accept(connection, now, &bounds, &incoming))
            .await
    }

    async fn claim(&self, _consumer: &str, limit: usize, lease_for: Duration) -> Result<Vec<Lease>, Failure> {
        let claimed = self
            .change(move |connection, now| deliveries::claim(connection, now, limit, lease_for))
            .await?;
        let mut leases = Vec::new();
        for (lease, body) in claimed {
            match body.unpack() {
                Ok(body) => leases.push(Lease { body, ..lease }),
                // It must not hold up the others. It comes back when its lease ends, and is reported again.
                Err(failure) => tracing::error!(delivery = %lease.id, %failure, "cannot hand out {}", lease.id),
            }
        }
        Ok(leases)
    }

    async fn hold(&self, lease: &Lease, lease_for: Duration) -> Result<bool, Failure> {
        let (id, token) = (lease.id.clone(), lease.token.clone());
        self.change(move |connection, now| deliveries::hold(connection, now, &id, &token, lease_for))
            .await
    }

    async fn ack(&self, lease: Lease) -> Result<(), Failure> {
        self.waking(move |connection, now| deliveries::ack(connection, now, &lease))
            .await
    }

    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure> {
        let cause = cause.to_owned();
        self.waking(move |connection, now| deliveries::retry(connection, now, &lease, delay, &cause))
            .await
    }

    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure> {
        let cause = cause.to_owned();
        self.waking(move |connection, now| deliveries::dead_letter(connection, now, &lease, &cause))
            .await
    }

    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let (bounds, id) = (self.bounds, id.clone());
        self.waking(move |connection, now| deliveries::requeue(connection, now, &bounds, &id))
            .await
    }

    async fn wait(&self, at_most: Duration) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // From here on no change is missed, also not one between the look and the wait.
        changed.as_mut().enable();
        let until_due = match self.look(|connection, at| listing::next_due(connection, at.now)).await {
            Ok(Some(due_at)) => (from_ms(due_at) - self.clock.now()).to_std().unwrap_or_default(),
            Ok(None) | Err(_) => at_most,
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(until_due.min(at_most)) => {}
        }
    }

    async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, Failure> {
        let id = id.clone();
        self.look(move |connection, at| listing::one(connection, at, &id)).await
    }

    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let id = id.clone();
        self.change(move |connection, _| deliveries::forget_dead(connection, &id))
            .await
    }

    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure> {
        let filter = filter.clone();
        self.look(move |connection, at| listing::newest(connection, at, &filter, limit))
            .await
    }

    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure> {
        let id = id.clone();
        let body = self
            .look(move |connection, at| listing::body(connection, at, &id))
            .await?;
        body.map(StoredBody::unpack).transpose()
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        self.look(listing::depth).await
    }
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let key = key.clone();
        self.look(move |connection, at| records::get(connection, at.now, &key))
            .await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        let (key, value, max_spare) = (key.clone(), value.to_owned(), self.bounds.max_spare_records);
        self.change(move |connection, now| records::put(connection, now, &key, &value, expected, keep, max_spare))
            .await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let key = key.clone();
        self.change(move |connection, _| records::remove(connection, &key))
            .await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        let after = after.map(str::to_owned);
        self.look(move |connection, at| records::list(connection, at.now, kind, after.as_deref(), limit))
            .await
    }
}

#[async_trait]
impl Durability for SqliteStore {
    async fn promises(&self) -> Result<Vec<Promise>, Failure> {
        let settings = self.writer.write(|connection| {
            let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
            Ok((journal, synchronous))
        });
        let (journal, synchronous) = settings.await?;
        let promise = |setting, value: &str, weakness| Promise {
            place: self.path.display().to_string(),
            setting,
            value: Some(value.to_owned()),
            weakness,
        };
        let slow = Weakness {
            can_lose: "nothing, but readers and writers hold each other up",
            remedy: "put the file on a local file system",
        };
        let unsafe_commits = Weakness {
            can_lose: "the last deliveries, when the machine crashes",
            remedy: "report it: jitgate sets synchronous=FULL itself",
        };
        let level = match synchronous {
            0 => "OFF",
            1 => "NORMAL",
            2 => "FULL",
            _ => "EXTRA",
        };
        Ok(vec![
            promise("journal_mode", &journal, (journal != "wal").then_some(slow)),
            promise("synchronous", level, (synchronous < 2).then_some(unsafe_commits)),
        ])
    }

    async fn open_place(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    async fn try_out(&self) -> Result<(), Failure> {
        self.writer.write(|connection| connection.execute_batch(TRIAL)).await
    }
}

fn pack(arrival: Arrival) -> Incoming {
    let work = match arrival.work {
        Work::Remember => None,
        Work::Queue {
            action,
            repository,
            job,
            priority,
            body,
        } => Some(IncomingWork {
            action: Some(action),
            repository: Some(repository),
            job: Some(job),
            then: Then::Queued(priority),
            body_bytes: body.len() as u64,
            body: StoredBody::pack(body),
        }),
        Work::Bury {
            action,
            repository,
            job,
            cause,
            body,
        } => Some(IncomingWork {
            action,
            repository,
            job,
            then: Then::Dead(cause),
            body_bytes: body.len() as u64,
            body: StoredBody::pack(body),
        }),
    };
    Incoming {
        id: arrival.id,
        event: arrival.event,
        received_at: arrival.received_at,
        work,
    }
}
