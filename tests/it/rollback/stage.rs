//! Workers on one store in memory, a simulated GitHub, and a clock that only the test moves.

pub(crate) use crate::support::in_process::VARIABLE;
use crate::support::in_process::{InProcess, decide, overlaid, token};
use async_trait::async_trait;
use jitgate::app::Context;
use jitgate::app::rollout::pass;
use jitgate::domain::alert::Alert;
use jitgate::domain::rollout::{Change, Changed};
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::{Failure, Ledger};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Seconds in which a rollback is over, with everything that follows from it.
const ROUNDS: usize = 90;
/// Seconds after that in which nothing may happen a second time: longer than the lease of a dead worker.
const FURTHER_ROUNDS: usize = 25;

pub(crate) struct Stage {
    base: InProcess,
}

impl Deref for Stage {
    type Target = InProcess;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Stage {
    /// Job 101 of the trusted run 20 waits for a slot that never boots. Job 401 of run 40 was not routed, and its delivery
    /// waits.
    pub(crate) async fn before_a_rollback() -> Self {
        let stage = Self::set(json!({})).await;
        let gate = stage.gate("gate0001");
        stage.deliver("queued", 101).await;
        decide(&gate).await;
        stage.deliver("queued", 401).await;
        stage
    }

    pub(crate) async fn set(more: Value) -> Self {
        let settings = json!({"runners": {"min": 0}, "synthetic": {"boot_s": 3600}});
        let mut base = InProcess::with(token(), &overlaid(settings, &more));
        let door = base.gate("gate0000");
        base.open_ingress(&door);
        let stage = Self { base };
        stage
            .world(json!({
                "pulls": [{"number": 7}, {"number": 9}],
                "runs": [
                    {"id": 20, "pull": 7, "jobs": [{"id": 101}]},
                    {"id": 40, "pull": 9, "jobs": [{"id": 401, "labels": ["ubuntu-latest"]}]},
                ],
                "permissions": {"alice": "write"},
                "variables": {VARIABLE: "true"},
            }))
            .await;
        stage
    }

    pub(crate) async fn deliver(&self, action: &str, job: u64) {
        let guid = format!("{action}-{job}-{}", self.now().timestamp());
        self.base.deliver(&guid, action, job).await;
    }

    /// One second of a worker and of GitHub.
    pub(crate) async fn second(&self, gate: &Arc<Context>) {
        decide(gate).await;
        pass::run_once(gate).await;
        self.github.settle().await.expect("the simulator answers");
        self.advance(1);
    }

    pub(crate) async fn seconds(&self, gate: &Arc<Context>, count: usize) {
        for _ in 0..count {
            self.second(gate).await;
        }
    }

    /// Runs a worker until the rollback is over, and then until nothing can be repeated any more.
    pub(crate) async fn run(&self, gate: &Arc<Context>) {
        for _ in 0..ROUNDS {
            self.second(gate).await;
            let rollback = self.record().await.rollback;
            if rollback.is_some_and(|rollback| !rollback.is_unfinished()) {
                return self.seconds(gate, FURTHER_ROUNDS).await;
            }
        }
        panic!("the rollback does not end: {:?}", self.record().await.rollback);
    }

    /// The changes of routing.
    pub(crate) async fn history(&self) -> Vec<Change> {
        let is_switch = |change: &Change| {
            matches!(change.what, Changed::Enable | Changed::Disable | Changed::Rollback) && !change.would
        };
        self.record().await.history.into_iter().filter(is_switch).collect()
    }

    pub(crate) async fn alerts(&self, kind: &str) -> Vec<Alert> {
        let all = self.all_alerts().await.into_iter();
        all.filter(|alert| alert.kind.as_str() == kind).collect()
    }

    /// Checks what a rollback leaves behind, however often it was interrupted.
    pub(crate) async fn expect_one_rollback(&self, when: &str) {
        let tally = self.tally().await;
        assert_eq!(tally.variables[VARIABLE], "false", "{when}");
        assert_eq!(tally.reruns, [20], "{when}: the stuck run is re-run once");
        let whats: Vec<Changed> = self.history().await.iter().map(|change| change.what).collect();
        assert_eq!(whats, [Changed::Rollback], "{when}");
        let alerts = self.alerts("rollback").await;
        assert_eq!(alerts.len(), 1, "{when}");
        assert_eq!(alerts[0].count, 1, "{when}");
        assert!(alerts[0].summary.contains("job 401"), "{when}: {}", alerts[0].summary);
    }
}

/// The moment of a death, relative to the effect of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// A ledger whose worker dies at its n-th write: no call returns any more. Reads change nothing, so a death at a read leaves
/// the same behind as one at the next write.
pub(crate) struct Dying {
    inner: Arc<dyn Ledger>,
    left: AtomicUsize,
    moment: Moment,
    dead: Notify,
}

impl Dying {
    pub(crate) fn at(inner: Arc<dyn Ledger>, write: usize, moment: Moment) -> Arc<Self> {
        Arc::new(Self {
            inner,
            left: AtomicUsize::new(write),
            moment,
            dead: Notify::new(),
        })
    }

    pub(crate) async fn death(&self) {
        self.dead.notified().await;
    }

    /// Counts a write. Returns true for the last one.
    fn is_last(&self) -> bool {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left == Ok(1)
    }

    async fn die<T>(&self) -> T {
        self.dead.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Ledger for Dying {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        let is_last = self.is_last();
        if is_last && self.moment == Moment::Before {
            return self.die().await;
        }
        let put = self.inner.put(key, value, expected, keep).await;
        if is_last { self.die().await } else { put }
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        let is_last = self.is_last();
        if is_last && self.moment == Moment::Before {
            return self.die().await;
        }
        let removed = self.inner.remove(key).await;
        if is_last { self.die().await } else { removed }
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        self.inner.list(kind, after, limit).await
    }
}

/// A ledger whose worker stops before its first write of a value with a text, until the test lets it go on.
pub(crate) struct Pausing {
    inner: Arc<dyn Ledger>,
    text: &'static str,
    has_paused: AtomicBool,
    reached: Notify,
    released: Notify,
}

impl Pausing {
    pub(crate) fn before(inner: Arc<dyn Ledger>, text: &'static str) -> Arc<Self> {
        Arc::new(Self {
            inner,
            text,
            has_paused: AtomicBool::new(false),
            reached: Notify::new(),
            released: Notify::new(),
        })
    }

    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

#[async_trait]
impl Ledger for Pausing {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        if value.contains(self.text) && !self.has_paused.swap(true, Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.notified().await;
        }
        self.inner.put(key, value, expected, keep).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.inner.remove(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        self.inner.list(kind, after, limit).await
    }
}
