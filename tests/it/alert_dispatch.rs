//! The dispatch of alerts to sinks, and its repetition: by one worker or several on one store, after crashes, and under a
//! flood. The clock is manual.

use crate::support::sink::RecordingSink;
use crate::support::world::noon;

use chrono::TimeDelta;
use futures::future::join_all;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::memory::MemoryStore;
use jitgate::app::Alerts;
use jitgate::app::alerts::AlertFilter;
use jitgate::domain::alert::{Alert, AlertKey, AlertKind, AlertState, ITSELF, Pace};
use jitgate::domain::ids::{JobId, RepositoryName};
use jitgate::ports::ledger::{Key, Kind};
use jitgate::ports::queue::Bounds;
use jitgate::ports::{Clock, Ledger};
use std::sync::Arc;
use std::time::Duration;

const RETENTION: Duration = Duration::from_secs(8 * 86_400);

const PACE: Pace = Pace {
    quiet: TimeDelta::seconds(600),
    refresh: Some(TimeDelta::seconds(60)),
};

/// A store and its clock.
struct Setup {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
}

impl Setup {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(noon()));
        let bounds = Bounds {
            max_entries: 10,
            max_entries_other: 10,
            bodies_max_bytes: 1000,
            retention: RETENTION,
            max_spare_records: 1000,
        };
        Self {
            store: Arc::new(MemoryStore::new(clock.clone(), bounds)),
            clock,
        }
    }

    fn alerts(&self, sink: &Arc<RecordingSink>) -> Arc<Alerts> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Arc::new(Alerts::new(store, clock, Arc::new(()), RETENTION, vec![sink.clone()]))
    }

    fn alert(&self, apart: &str, job: u64) -> Alert {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        let key = AlertKey::new(AlertKind::StolenRunner, Some(&repository)).caused_by(apart);
        Alert::new(&key, Some(JobId(job)), "it happened", self.clock.now())
    }
}

/// Dispatches what is due. Returns the number of calls to sinks.
async fn dispatch(alerts: &Alerts) -> usize {
    alerts.run_until_idle().await.expect("the store answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_dispatch_each_alert_once() {
    let (setup, sink) = (Setup::new(), RecordingSink::new(PACE));
    let workers = [setup.alerts(&sink), setup.alerts(&sink), setup.alerts(&sink)];
    for number in 0..50_usize {
        let alert = setup.alert(&format!("job-{number}"), number as u64);
        workers[number % 3].raise(alert).await.expect("stored");
    }
    let at_once = workers.map(|alerts| tokio::spawn(async move { dispatch(&alerts).await }));
    let counts = join_all(at_once).await;
    assert_eq!(
        counts.into_iter().map(|count| count.expect("it ends")).sum::<usize>(),
        50
    );
    let mut ids: Vec<String> = sink.received().into_iter().map(|alert| alert.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), sink.received().len()), (50, 50));
}

#[tokio::test]
async fn an_open_alert_is_refreshed_and_a_repeated_one_is_sent_after_the_quiet_time() {
    let (setup, sink) = (Setup::new(), RecordingSink::new(PACE));
    let alerts = setup.alerts(&sink);
    alerts.raise(setup.alert("-", 1)).await.expect("stored");
    assert_eq!(dispatch(&alerts).await, 1);
    alerts.raise(setup.alert("-", 1)).await.expect("stored");
    assert_eq!(dispatch(&alerts).await, 0, "the same job again is no news");
    setup.clock.advance(TimeDelta::seconds(60));
    assert_eq!(dispatch(&alerts).await, 1);
    alerts.raise(setup.alert("-", 2)).await.expect("stored");
    setup.clock.advance(TimeDelta::seconds(599));
    assert_eq!(dispatch(&alerts).await, 0, "a repetition waits for the quiet time");
    setup.clock.advance(TimeDelta::seconds(1));
    assert_eq!(dispatch(&alerts).await, 1);
    let id = sink.received()[0].id.clone();
    alerts.resolve(&id, "alice").await.expect("stored");
    assert_eq!(dispatch(&alerts).await, 1);
    setup.clock.advance(TimeDelta::seconds(6000));
    assert_eq!(dispatch(&alerts).await, 0);
    let all: Vec<_> = sink
        .received()
        .into_iter()
        .map(|alert| (alert.state, alert.count))
        .collect();
    let open = |count| (AlertState::Open, count);
    assert_eq!(all, [open(1), open(1), open(2), (AlertState::Resolved, 2)]);
    assert_eq!(
        alerts.live().await.expect("listed"),
        [],
        "it left the list of live alerts"
    );
}

#[tokio::test]
async fn an_alert_whose_worker_dies_during_dispatch_is_sent_by_another_worker() {
    let (setup, hanging, sink) = (Setup::new(), RecordingSink::that_hangs(PACE), RecordingSink::new(PACE));
    let first = setup.alerts(&hanging);
    first.raise(setup.alert("-", 1)).await.expect("stored");
    let id = first.list(&AlertFilter::default(), 1).await.expect("listed")[0]
        .id
        .clone();
    // As after a crash between the alert's record and its entry in the list of live alerts.
    let live = Key::new(Kind::LiveAlert, &id);
    setup.store.remove(&live).await.expect("removed");
    assert_eq!(first.live().await.expect("listed"), []);
    let dies = tokio::spawn(async move { dispatch(&first).await });
    hanging.called().await;
    dies.abort();

    let second = setup.alerts(&sink);
    assert_eq!(dispatch(&second).await, 0, "the first worker may still be alive");
    setup.clock.advance(TimeDelta::seconds(15));
    assert_eq!(dispatch(&second).await, 1);
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(
        (&received[0].id, received[0].state, received[0].count),
        (&id, AlertState::Open, 1)
    );
}

#[tokio::test]
async fn alerts_of_outsiders_are_bounded_and_resolve_after_the_retention() {
    let (setup, sink) = (Setup::new(), RecordingSink::new(PACE));
    let alerts = setup.alerts(&sink);
    for number in 0..700_u64 {
        let alert = setup.alert(&format!("mallory-{number}"), number);
        alerts.raise(alert).await.expect("stored");
    }
    let listed = alerts.list(&AlertFilter::default(), 1000).await.expect("listed");
    assert_eq!(listed.len(), 501);
    let others = listed
        .iter()
        .find(|alert| alert.key == "octo/chem/stolen-runner/others");
    assert_eq!(others.map(|alert| alert.count), Some(200));
    assert_eq!(dispatch(&alerts).await, 501);
    setup.clock.advance(TimeDelta::days(8));
    dispatch(&alerts).await;
    let resolved = AlertFilter {
        states: vec![AlertState::Resolved],
        ..AlertFilter::default()
    };
    let over = alerts.list(&resolved, 1000).await.expect("listed");
    assert_eq!(over.len(), 501);
    assert!(over.iter().all(|alert| alert.resolved_by.as_deref() == Some(ITSELF)));
    assert_eq!(alerts.live().await.expect("listed"), []);
}
