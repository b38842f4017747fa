//! The interface of an engine under test, and the functions that the tests share.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::domain::event::Action;
use jitgate::domain::ids::{DeliveryId, JobId};
use jitgate::ports::queue::{Accepted, Arrival, Bounds, Delivery, DeliveryState, Filter, Lease, Priority, Work};
use jitgate::ports::{Ledger, Queue};
use std::sync::Arc;
use std::time::Duration;

/// Both ports of one engine.
pub(super) trait Store: Queue + Ledger {}

impl<T: Queue + Ledger> Store for T {}

/// An engine under test.
///
/// Stories hold something for [`LONG`] when it must not end, and for [`Engine::brief`] when it must: what they say then
/// holds only after [`Engine::pass`], so an engine on a real clock may be as slow as it likes.
#[async_trait]
pub(super) trait Engine: Send + Sync {
    /// Opens an empty store.
    async fn open(&self, bounds: Bounds) -> Arc<dyn Store>;

    /// A time that is cheap to let pass.
    fn brief(&self) -> Duration;

    /// Lets at least that much time pass on the clock that the store goes by.
    async fn pass(&self, time: Duration);

    /// Opens a store with ample bounds.
    async fn ample(&self) -> Arc<dyn Store> {
        self.open(AMPLE).await
    }
}

/// Longer than any story.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// Bounds no story runs into.
pub(crate) const AMPLE: Bounds = Bounds {
    max_entries: 10_000,
    max_entries_other: 10_000,
    bodies_max_bytes: 1 << 30,
    retention: Duration::from_secs(8 * 24 * 3600),
    max_spare_records: 1000,
};

pub(super) fn guid(text: &str) -> DeliveryId {
    DeliveryId::parse(text).expect("a GUID")
}

/// Some time of day, later for a higher `n`; whole seconds, which every engine can keep.
pub(super) fn moment(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("in range") + TimeDelta::seconds(n)
}

/// A delivery about job 1 that could reach a runner.
pub(super) fn delivery(id: &str) -> Story {
    Story {
        id: guid(id),
        job: 1,
        repository: "octo-org/chem".to_owned(),
        priority: Priority::Reaching,
        received: 0,
        body: id.as_bytes().to_vec(),
    }
}

/// A delivery that only leaves its GUID.
pub(super) fn ignored(id: &str) -> Arrival {
    Arrival {
        id: guid(id),
        event: "star".to_owned(),
        received_at: moment(0),
        work: Work::Remember,
    }
}

/// A delivery in the making.
#[derive(Clone)]
pub(super) struct Story {
    id: DeliveryId,
    job: u64,
    repository: String,
    priority: Priority,
    received: i64,
    body: Vec<u8>,
}

impl Story {
    pub(super) fn of_job(mut self, job: u64) -> Self {
        self.job = job;
        self
    }

    pub(super) fn in_repository(mut self, name: &str) -> Self {
        name.clone_into(&mut self.repository);
        self
    }

    pub(super) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn received(mut self, n: i64) -> Self {
        self.received = n;
        self
    }

    pub(super) fn for_others(mut self) -> Self {
        self.priority = Priority::Other;
        self
    }

    pub(super) fn into_arrival(self) -> Arrival {
        let work = Work::Queue {
            action: Action::Queued,
            repository: self.repository,
            job: JobId(self.job),
            priority: self.priority,
            body: self.body,
        };
        Arrival {
            id: self.id,
            event: "workflow_job".to_owned(),
            received_at: moment(self.received),
            work,
        }
    }

    pub(super) async fn arrives(self, store: &dyn Store) -> Accepted {
        store.accept(self.into_arrival()).await.expect("the store answers")
    }

    pub(super) async fn enters(self, store: &dyn Store) {
        let id = self.id.clone();
        assert_eq!(self.arrives(store).await, Accepted::Taken, "{id}");
    }
}

/// Claims up to `limit` for [`LONG`].
pub(super) async fn claim(store: &dyn Store, limit: usize) -> Vec<Lease> {
    claim_for(store, limit, LONG).await
}

pub(super) async fn claim_for(store: &dyn Store, limit: usize, lease_for: Duration) -> Vec<Lease> {
    store
        .claim("worker", limit, lease_for)
        .await
        .expect("the store answers")
}

/// Claims exactly one delivery, and it is this one.
pub(super) async fn claim_only(store: &dyn Store, id: &str) -> Lease {
    let mut leases = claim(store, 10).await;
    assert_eq!(ids(&leases), [id]);
    leases.remove(0)
}

pub(super) async fn ack(store: &dyn Store, lease: Lease) {
    store.ack(lease).await.expect("the store answers");
}

pub(super) async fn retry(store: &dyn Store, lease: Lease, delay: Duration) {
    let given_back = store.retry(lease, delay, "GitHub is out of reach").await;
    given_back.expect("the store answers");
}

pub(super) async fn bury(store: &dyn Store, lease: Lease) {
    let buried = store.dead_letter(lease, "it is unreadable").await;
    buried.expect("the store answers");
}

pub(super) fn ids(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.id.as_str()).collect()
}

pub(super) async fn known(store: &dyn Store, id: &str) -> Option<Delivery> {
    store.delivery(&guid(id)).await.expect("the store answers")
}

pub(super) async fn state(store: &dyn Store, id: &str) -> Option<DeliveryState> {
    known(store, id).await.map(|delivery| delivery.state)
}

pub(super) async fn body(store: &dyn Store, id: &str) -> Option<Vec<u8>> {
    store.body(&guid(id)).await.expect("the store answers")
}

/// The newest deliveries, whatever they are.
pub(super) async fn newest(store: &dyn Store, limit: usize) -> Vec<Delivery> {
    listed(store, Filter::default(), limit).await
}

pub(super) async fn listed(store: &dyn Store, filter: Filter, limit: usize) -> Vec<Delivery> {
    store.deliveries(&filter, limit).await.expect("the store answers")
}
