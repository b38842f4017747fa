//! The tally of routing verdicts outside of the measured runs. Many decisions change the one record of a repository at
//! the same time, so one of them writes the changes of all that wait.

use crate::app::records::{self, CountChange, VerdictsRecord};
use crate::domain::ids::RepositoryName;
use crate::domain::rollout::Mismatch;
use crate::ports::{Failure, Ledger};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A change of the record of a repository.
#[derive(Debug, Clone)]
pub(super) struct TallyChange {
    pub(super) count: Option<CountChange>,
    pub(super) mismatch: Option<Mismatch>,
}

struct Pending {
    change: TallyChange,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// The changes of one process that are not written yet.
#[derive(Default)]
pub struct Tallies {
    pending: Mutex<BTreeMap<RepositoryName, Vec<Pending>>>,
    turn: tokio::sync::Mutex<()>,
}

impl Tallies {
    /// Writes a change, together with all others of the repository that wait. Returns when it is stored.
    pub(super) async fn write(
        &self,
        ledger: &dyn Ledger,
        repository: &RepositoryName,
        retention: Duration,
        change: TallyChange,
    ) -> Result<(), Failure> {
        let (done, written) = oneshot::channel();
        self.pending(|pending| {
            pending
                .entry(repository.clone())
                .or_default()
                .push(Pending { change, done })
        });
        let turn = self.turn.lock().await;
        let batch = self.pending(|pending| pending.remove(repository)).unwrap_or_default();
        if !batch.is_empty() {
            let result = store(ledger, repository, retention, &batch).await;
            for pending in batch {
                // The receiver is gone if its delivery was interrupted.
                pending.done.send(result.clone()).unwrap_or_default();
            }
        }
        drop(turn);
        written.await.unwrap_or_else(|_| {
            let what = "the writer of the routing verdicts was interrupted";
            Err(Failure::Transient(what.to_owned()))
        })
    }

    fn pending<T>(&self, change: impl FnOnce(&mut BTreeMap<RepositoryName, Vec<Pending>>) -> T) -> T {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn store(
    ledger: &dyn Ledger,
    repository: &RepositoryName,
    retention: Duration,
    batch: &[Pending],
) -> Result<(), Failure> {
    records::update(
        ledger,
        repository.as_str(),
        retention,
        |record: &mut Option<VerdictsRecord>| {
            let record = record.get_or_insert_default();
            for Pending { change, .. } in batch {
                if let Some(count) = change.count {
                    record.count(count);
                }
                if let Some(mismatch) = &change.mismatch {
                    record.note(mismatch.clone());
                }
            }
        },
    )
    .await
}
