//! Both ports over one file.

use super::body::StoredBody;
use super::deliveries::{self, Incoming, IncomingWork, Treatment};
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

/// Writes to every table and rolls back.
const TRIAL: &str = "
    SAVEPOINT trial;
    INSERT INTO deliveries (place, id, event, received_at, state, due_at, body_bytes)
        VALUES (-1, 'trial', 'trial', 0, 'queued', 0, 1);
    INSERT INTO bodies SELECT number, 0, x'00' FROM deliveries WHERE id = 'trial';
    INSERT INTO records (kind, id, version, value) VALUES ('trial', 'trial', 1, '{}');
    ROLLBACK TO trial;
    RELEASE trial;";

/// A queue and a ledger in one file.
pub struct SqliteStore {
    // The order matters: the file is closed before the lock is released.
    writer: Writer,
    readers: Readers,
    _lock: Option<Lock>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    changed: Notify,
}

impl SqliteStore {
    /// Opens the file at `path`, with the time of `clock`. The call blocks on the disk, so it is for a start or a
    /// command only.
    ///
    /// # Errors
    /// Returns an [`OpenError`] if the file is in use by another process, is missing, is not of jitgate, has a newer
    /// version, or cannot be opened.
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

    /// Runs `work` in the next transaction, with the time at which it runs.
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

    /// Runs a change that can make a delivery due, and wakes the waiting workers.
    async fn change_and_wake<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let result = self.change(work).await;
        self.changed.notify_waiters();
        result
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let now = to_ms(self.clock.now());
        let at = Moment {
            now,
            forgotten: earlier(now, self.bounds.retention),
        };
        self.readers.read(move |connection| query(connection, at)).await
    }
}

#[async_trait]
impl Queue for SqliteStore {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure> {
        let (bounds, incoming) = (self.bounds, pack(arrival));
        self.change_and_wake(move |connection, now| deliveries::accept(connection, now, &bounds, &incoming))
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
                // A damaged delivery must not block the others. It is handed out and reported again when its lease
                // ends.
                Err(failure) => {
                    tracing::error!(delivery = %lease.id, %failure, "failed to hand out delivery {}", lease.id)
                }
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
        self.change_and_wake(move |connection, now| deliveries::ack(connection, now, &lease))
            .await
    }

    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure> {
        let cause = cause.to_owned();
        self.change_and_wake(move |connection, now| deliveries::retry(connection, now, &lease, delay, &cause))
            .await
    }

    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure> {
        let cause = cause.to_owned();
        self.change_and_wake(move |connection, now| deliveries::dead_letter(connection, now, &lease, &cause))
            .await
    }

    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let (bounds, id) = (self.bounds, id.clone());
        self.change_and_wake(move |connection, now| deliveries::requeue(connection, now, &bounds, &id))
            .await
    }

    async fn wait(&self, at_most: Duration) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // From here on every change is noticed, also one between the check and the wait.
        changed.as_mut().enable();
        let until_due = match self.read(|connection, at| listing::next_due(connection, at.now)).await {
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
        self.read(move |connection, at| listing::one(connection, at, &id)).await
    }

    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let id = id.clone();
        self.change(move |connection, _| deliveries::forget_dead(connection, &id))
            .await
    }

    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure> {
        let filter = filter.clone();
        self.read(move |connection, at| listing::newest(connection, at, &filter, limit))
            .await
    }

    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure> {
        let id = id.clone();
        let body = self
            .read(move |connection, at| listing::body(connection, at, &id))
            .await?;
        body.map(StoredBody::unpack).transpose()
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        self.read(listing::depth).await
    }
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        let key = key.clone();
        self.read(move |connection, at| records::get(connection, at.now, &key))
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
        self.read(move |connection, at| records::list(connection, at.now, kind, after.as_deref(), limit))
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
            can_lose: "nothing, but readers and writers block each other",
            remedy: "put the file on a local file system",
        };
        let unsafe_commits = Weakness {
            can_lose: "the last deliveries, when the machine crashes",
            remedy: "report this as a bug: jitgate sets synchronous=FULL",
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
            treatment: Treatment::Queued(priority),
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
            treatment: Treatment::Dead(cause),
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
