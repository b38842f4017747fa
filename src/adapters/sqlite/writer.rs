//! The one thread that writes. All waiting writes share one transaction, and each is answered after the commit, so one
//! wait for the disk serves all of them.
//!
//! If another process locks the file, the writer waits once, and all waiting writes fail together.
//!
//! A write that fails is rolled back alone. If it rolls back the whole transaction, or the commit fails, no write of
//! the transaction took effect and each is answered with the failure. A caller that is cancelled does not stop its
//! write.

use super::failure::failure;
use crate::ports::Failure;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::io;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The most writes of one transaction.
const MAX_BATCH: usize = 256;
/// The most waiting writes; further callers wait before they are queued.
const MAX_WAITING: usize = 1024;

pub(super) struct Writer {
    writes: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (writes, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(connection, waiting))?;
        Ok(Self {
            writes: Some(writes),
            thread: Some(thread),
        })
    }

    /// Runs `work` in the next transaction and returns after that is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = || Failure::Transient("the store is closing".to_owned());
        let (reply, answer) = oneshot::channel();
        let write = Box::new(Task {
            work: Some(work),
            result: None,
            reply,
        });
        let writes = self.writes.as_ref().ok_or_else(gone)?;
        writes.send(write).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    /// Completes the queued writes and closes the file.
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes to the store has panicked");
        }
    }
}

/// A write with a result of any type.
trait Write: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), Failure>);
}

struct Task<F, T> {
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Write for Task<F, T> {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Failure>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Ok(()), None) => Err(Failure::Transient("the write was not tried".to_owned())),
            (Err(failure), _) => Err(failure),
        };
        if self.reply.send(answer).is_err() {
            tracing::debug!("completed a write for a caller that is gone");
        }
    }
}

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Write>>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        match write_together(&mut connection, &mut batch) {
            Ok(outcomes) => {
                for (write, outcome) in batch.into_iter().zip(outcomes) {
                    write.answer(outcome);
                }
            }
            Err(error) => {
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
                    // Another process locks the file, and the waiting writes have waited for it as well.
                    batch.extend(std::iter::from_fn(|| waiting.try_recv().ok()).take(MAX_WAITING));
                }
                let failure = failure(&error);
                tracing::error!(%failure, writes = batch.len(), "a transaction failed: {failure}");
                for write in batch {
                    write.answer(Err(failure.clone()));
                }
            }
        }
    }
}

fn write_together(
    connection: &mut Connection,
    batch: &mut [Box<dyn Write>],
) -> rusqlite::Result<Vec<Result<(), Failure>>> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::new();
    for write in batch {
        let savepoint = transaction.savepoint()?;
        let outcome = match write.run(&savepoint) {
            Ok(()) => savepoint.commit(),
            Err(error) => {
                drop(savepoint);
                Err(error)
            }
        };
        match outcome {
            // After some errors SQLite rolls back the whole transaction, with the writes of others.
            Err(error) if transaction.is_autocommit() => return Err(error),
            outcome => outcomes.push(outcome.map_err(|error| failure(&error))),
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;
    use tempfile::TempDir;

    fn open(path: &Path) -> Connection {
        let connection = Connection::open(path).expect("a database");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS words (word TEXT)")
            .expect("a table");
        connection
    }

    fn insert(word: &str) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + use<> {
        let word = word.to_owned();
        move |connection| connection.execute("INSERT INTO words VALUES (?1)", [word])
    }

    fn words(connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut select = connection.prepare("SELECT word FROM words WHERE length(word) < 10 ORDER BY word")?;
        select.query_map([], |row| row.get(0))?.collect()
    }

    /// Keeps the writer busy until the sender is used or dropped, so that later writes share one transaction.
    async fn keep_busy(writer: &Arc<Writer>) -> std::sync::mpsc::Sender<()> {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, is_busy) = oneshot::channel();
        let writer = writer.clone();
        tokio::spawn(async move {
            let busy = writer.write(move |_| Ok((begun.send(()), wait.recv())));
            busy.await
        });
        is_busy.await.expect("the thread works");
        go
    }

    #[tokio::test]
    async fn waiting_writes_share_a_transaction_and_fail_alone() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("words.db");
        let writer = Arc::new(Writer::start(open(&path)).expect("a thread"));
        let go = keep_busy(&writer).await;
        let outside = open(&path);
        let wrong = |connection: &Connection| {
            insert("half")(connection)?;
            connection.execute("INSERT INTO nowhere VALUES (1)", [])
        };
        let check = move |connection: &Connection| Ok((words(connection)?, words(&outside)?));
        let (one, wrong, two, seen, ()) = tokio::join!(
            writer.write(insert("one")),
            writer.write(wrong),
            writer.write(insert("two")),
            writer.write(check),
            async { drop(go) },
        );
        assert_eq!((one, two), (Ok(1), Ok(1)));
        assert!(matches!(wrong, Err(Failure::Transient(_))), "{wrong:?}");
        let (inside, outside) = seen.expect("it looks");
        assert_eq!((inside, outside.len()), (vec!["one".to_owned(), "two".to_owned()], 0));
        assert_eq!(words(&open(&path)), Ok(vec!["one".to_owned(), "two".to_owned()]));
    }

    #[tokio::test]
    async fn on_a_full_disk_every_answer_is_true() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("words.db");
        let connection = open(&path);
        connection.pragma_update(None, "max_page_count", 10).expect("a bound");
        let writer = Arc::new(Writer::start(connection).expect("a thread"));
        let go = keep_busy(&writer).await;
        let big = "x".repeat(100_000);
        let (before, big, after, ()) = tokio::join!(
            writer.write(insert("before")),
            writer.write(insert(&big)),
            writer.write(insert("after")),
            async { drop(go) },
        );
        assert!(matches!(big, Err(Failure::Transient(_))), "{big:?}");
        let found = words(&open(&path)).expect("readable");
        for (answer, word) in [(before, "before"), (after, "after")] {
            assert_eq!(answer.is_ok(), found.contains(&word.to_owned()), "{word}: {answer:?}");
        }
        assert_eq!(writer.write(insert("later")).await, Ok(1));
    }
}
