//! The Redis engine with servers that die, hang, fill up or forget scripts, and with processes that share one server.

mod alert_dispatch;
mod door;
mod elsewhere;
mod failing;
mod model;
mod sharing;

use jitgate::adapters::redis::{RedisStore, Settings};
use jitgate::domain::event::Action;
use jitgate::domain::ids::{DeliveryId, JobId};
use jitgate::ports::queue::{Accepted, Arrival, Bounds, Lease, Priority, Work};
use jitgate::ports::{Failure, Queue};
use secrecy::SecretString;
use std::num::NonZeroU32;
use std::time::Duration;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

const AMPLE: Bounds = Bounds {
    max_entries: 10_000,
    max_entries_other: 10_000,
    bodies_max_bytes: 1 << 30,
    retention: Duration::from_secs(8 * 24 * 3600),
    max_spare_records: 1000,
};

fn settings(url: &str, shards: u32) -> Settings {
    let shards = NonZeroU32::new(shards).expect("not zero");
    Settings::new(SecretString::from(url), shards, AMPLE)
}

/// Opens a store with a connection of its own, as each process does.
fn open(url: &str) -> RedisStore {
    RedisStore::new(settings(url, 1)).expect("a good URL")
}

fn guid(text: &str) -> DeliveryId {
    DeliveryId::parse(text).expect("a GUID")
}

/// A delivery about a job of its own.
fn delivery(id: &str) -> Arrival {
    delivery_to("octo-org/chem", id)
}

fn delivery_to(repository: &str, id: &str) -> Arrival {
    arrival(id, work(repository, id.bytes().map(u64::from).sum(), id))
}

fn work(repository: &str, job: u64, body: &str) -> Work {
    Work::Queue {
        action: Action::Queued,
        repository: repository.to_owned(),
        job: JobId(job),
        priority: Priority::Reaching,
        body: body.as_bytes().to_vec(),
    }
}

fn arrival(id: &str, work: Work) -> Arrival {
    Arrival {
        id: guid(id),
        event: "workflow_job".to_owned(),
        received_at: chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("in range"),
        work,
    }
}

async fn enters(store: &RedisStore, id: &str) {
    assert_eq!(store.accept(delivery(id)).await, Ok(Accepted::Taken), "{id}");
}

async fn claim(store: &RedisStore, consumer: &str, lease_for: Duration) -> Vec<Lease> {
    store.claim(consumer, 10, lease_for).await.expect("the store answers")
}

fn ids(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.id.as_str()).collect()
}

#[track_caller]
fn assert_transient<T: std::fmt::Debug>(answer: &Result<T, Failure>) {
    assert!(matches!(answer, Err(Failure::Transient(_))), "{answer:?}");
}
