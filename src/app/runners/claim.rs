//! The claim on an instance name. The name is stored in a file, and files are copied with snapshots and machine images.
//! Two workers with one name would each end the runners of the other as leftovers of a crash.
//!
//! A worker therefore claims its name in the ledger before any other work, and renews the claim. A claim depends only
//! on changes in the ledger and on the ledger's own expiry, so the clocks of the machines do not matter.

use crate::app::records::{self, InstanceRecord};
use crate::ports::{Failure, Ledger};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The time after which an unrenewed claim expires.
const LEASE_TIMEOUT: Duration = Duration::from_secs(15);
/// The interval of renewals. A copy of a worker is detected within this time.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3);
/// The interval at which a waiting worker checks the claim.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The result of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// This worker holds the name.
    Ours,
    /// A living worker elsewhere holds the name.
    Elsewhere,
}

/// A claim on an instance name.
pub struct Claim {
    ledger: Arc<dyn Ledger>,
    name: String,
    place: String,
    process: String,
    renewal_interval: Duration,
    held: Mutex<Held>,
}

/// The state of a claim as this worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Not,
    /// The claim was written with this beat.
    At(u64),
    /// The claim was written with this beat, and possibly with the next one.
    Perhaps(u64),
}

impl Claim {
    /// Creates a claim of this process, which runs at `place`. It holds nothing yet.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, name: &str, place: &str, process: &str) -> Self {
        Self {
            ledger,
            name: name.to_owned(),
            place: place.to_owned(),
            process: process.to_owned(),
            renewal_interval: RENEWAL_INTERVAL,
            held: Mutex::new(Held::Not),
        }
    }

    /// Returns the instance name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the name: at once if it is free or belongs to an earlier process at the same place. Otherwise it waits
    /// until the holder renews its claim or the claim expires.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn take(&self) -> Result<Claimed, Failure> {
        let mut seen: Option<InstanceRecord> = None;
        loop {
            let found: Option<InstanceRecord> = records::load(self.ledger.as_ref(), &self.name).await?;
            let is_free = found.as_ref().is_none_or(|found| found.place == self.place);
            if is_free && self.write_over(found.as_ref()).await? {
                return Ok(Claimed::Ours);
            }
            if let (Some(found), Some(seen)) = (&found, &seen)
                && found != seen
            {
                return Ok(Claimed::Elsewhere);
            }
            seen = found.or(seen);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Returns true if this worker holds the name.
    pub async fn is_held(&self) -> bool {
        *self.held.lock().await != Held::Not
    }

    /// Renews the claim. Returns when another worker holds the name; this worker must then stop.
    pub async fn until_lost(&self) {
        loop {
            tokio::time::sleep(self.renewal_interval).await;
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => return,
                // While the store is unreachable, no other worker can take the name.
                Err(failure) => tracing::debug!(%failure, "failed to renew the claim on instance name {}", self.name),
            }
        }
    }

    /// Releases the name, so that another worker can take it at once.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn release(&self) -> Result<(), Failure> {
        let mut held = self.held.lock().await;
        let found: Option<InstanceRecord> = records::load(self.ledger.as_ref(), &self.name).await?;
        if found.is_some_and(|found| found.process == self.process) {
            records::remove::<InstanceRecord>(self.ledger.as_ref(), &self.name).await?;
        }
        *held = Held::Not;
        Ok(())
    }

    /// Writes the claim over `found`. Returns false if the record has changed since.
    async fn write_over(&self, found: Option<&InstanceRecord>) -> Result<bool, Failure> {
        let mut held = self.held.lock().await;
        let ours = self.record(found.map_or(0, |found| found.beat.wrapping_add(1)));
        let is_ours = records::update(self.ledger.as_ref(), &self.name, LEASE_TIMEOUT, |record| {
            let is_unchanged = record.as_ref() == found;
            if is_unchanged {
                *record = Some(ours.clone());
            }
            is_unchanged
        })
        .await?;
        if is_ours {
            *held = Held::At(ours.beat);
        }
        Ok(is_ours)
    }

    async fn renew(&self) -> Result<bool, Failure> {
        let mut held = self.held.lock().await;
        let (last, lost_answer) = match *held {
            Held::Not => return Ok(false),
            Held::At(beat) => (beat, false),
            Held::Perhaps(beat) => (beat, true),
        };
        *held = Held::Perhaps(last);
        let beat = records::update(
            self.ledger.as_ref(),
            &self.name,
            LEASE_TIMEOUT,
            |record: &mut Option<InstanceRecord>| {
                let next = match record {
                    // The store was unreachable for longer than the lease, or has lost the record.
                    None => last.wrapping_add(2),
                    // The beat distinguishes a process from its own copy in the snapshot of a running machine.
                    Some(old) if old.process == self.process && old.beat == last => last.wrapping_add(1),
                    Some(old) if old.process == self.process && lost_answer && old.beat == last.wrapping_add(1) => {
                        last.wrapping_add(2)
                    }
                    Some(_) => return None,
                };
                *record = Some(self.record(next));
                Some(next)
            },
        )
        .await?;
        *held = beat.map_or(Held::Not, Held::At);
        Ok(beat.is_some())
    }

    fn record(&self, beat: u64) -> InstanceRecord {
        InstanceRecord {
            place: self.place.clone(),
            process: self.process.clone(),
            beat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
    use async_trait::async_trait;
    use futures::FutureExt;
    use std::sync::Mutex as StdMutex;

    /// A ledger of one record, which expires only on request.
    #[derive(Default)]
    struct OneRecord(StdMutex<Option<Stored>>);

    impl OneRecord {
        fn forget(&self) {
            *self.0.lock().expect("no panic") = None;
        }
    }

    #[async_trait]
    impl Ledger for OneRecord {
        async fn get(&self, _: &Key) -> Result<Option<Stored>, Failure> {
            Ok(self.0.lock().expect("no panic").clone())
        }

        async fn put(&self, _: &Key, value: &str, expected: Option<u64>, _: Keep) -> Result<Put, Failure> {
            let mut record = self.0.lock().expect("no panic");
            if record.as_ref().map(|stored| stored.version) != expected {
                return Ok(Put::Conflict);
            }
            let version = expected.unwrap_or_default() + 1;
            *record = Some(Stored {
                version,
                value: value.to_owned(),
            });
            Ok(Put::Written(version))
        }

        async fn remove(&self, _: &Key) -> Result<(), Failure> {
            self.forget();
            Ok(())
        }

        async fn list(&self, _: Kind, _: Option<&str>, _: usize) -> Result<Vec<(String, Stored)>, Failure> {
            Ok(Vec::new())
        }
    }

    fn claim(ledger: &Arc<OneRecord>, place: &str, process: &str) -> Claim {
        Claim {
            renewal_interval: Duration::from_millis(20),
            ..Claim::new(ledger.clone(), "abcdefgh", place, process)
        }
    }

    #[tokio::test]
    async fn a_copy_does_not_get_the_name_of_a_living_worker() {
        let ledger = Arc::new(OneRecord::default());
        let (one, copy) = (claim(&ledger, "here", "1"), claim(&ledger, "there", "2"));
        assert_eq!(one.take().await, Ok(Claimed::Ours));
        tokio::select! {
            () = one.until_lost() => panic!("it is alive"),
            claimed = copy.take() => assert_eq!(claimed, Ok(Claimed::Elsewhere)),
        }
    }

    #[tokio::test]
    async fn whoever_starts_again_at_the_same_place_has_its_name_at_once() {
        let ledger = Arc::new(OneRecord::default());
        assert_eq!(claim(&ledger, "here", "1").take().await, Ok(Claimed::Ours));
        let again = claim(&ledger, "here", "2").take().now_or_never();
        assert_eq!(again, Some(Ok(Claimed::Ours)));
    }

    #[tokio::test]
    async fn a_name_that_expired_or_was_given_back_is_free_elsewhere() {
        let ledger = Arc::new(OneRecord::default());
        let one = claim(&ledger, "here", "1");
        assert_eq!(one.take().await, Ok(Claimed::Ours));
        one.release().await.expect("it answers");
        let two = claim(&ledger, "there", "2");
        assert_eq!(two.take().await, Ok(Claimed::Ours));
        let three = claim(&ledger, "yonder", "3");
        // The order of polling matters: the third worker has looked when the record expires.
        let (claimed, ()) = tokio::join!(three.take(), async { ledger.forget() });
        assert_eq!(claimed, Ok(Claimed::Ours));
        two.until_lost().await;
    }

    #[tokio::test]
    async fn the_twin_in_the_snapshot_of_a_running_machine_is_told_from_it() {
        let ledger = Arc::new(OneRecord::default());
        let (one, twin) = (claim(&ledger, "here", "1"), claim(&ledger, "here", "1"));
        assert_eq!(one.take().await, Ok(Claimed::Ours));
        *twin.held.lock().await = *one.held.lock().await;
        tokio::select! {
            () = one.until_lost() => {}
            () = twin.until_lost() => {}
        }
    }

    #[tokio::test]
    async fn a_store_that_forgot_the_claim_is_told_again() {
        let ledger = Arc::new(OneRecord::default());
        let one = claim(&ledger, "here", "1");
        assert_eq!(one.take().await, Ok(Claimed::Ours));
        ledger.forget();
        assert_eq!(one.renew().await, Ok(true));
        assert_eq!(one.renew().await, Ok(true));
    }
}
