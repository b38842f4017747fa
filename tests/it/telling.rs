//! Who is told of which alert, and how often: by one worker or several on one store, after crashes, and under a flood.
//! Time stands still unless it is moved.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use futures::future::join_all;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::memory::MemoryStore;
use jitgate::app::Alerts;
use jitgate::app::alerts::Asked;
use jitgate::domain::alert::{Alert, AlertKey, AlertKind, AlertState, ITSELF, Pace};
use jitgate::domain::ids::{JobId, RepositoryName};
use jitgate::ports::alert_sink::AlertSink;
use jitgate::ports::ledger::{Key, Kind};
use jitgate::ports::queue::Bounds;
use jitgate::ports::{Clock, Failure, Ledger};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

const RETENTION: Duration = Duration::from_secs(8 * 86_400);

/// A sink that keeps what it was told: id, state and count.
struct Ear {
    pace: Pace,
    heard: Mutex<Vec<(String, AlertState, u64)>>,
    /// Where those who speak to it wait if it does not listen.
    silence: Option<Notify>,
}

impl Ear {
    fn new() -> Arc<Self> {
        Arc::new(Self::that(None))
    }

    /// One that is told and never done with it; and tells that.
    fn deaf() -> Arc<Self> {
        Arc::new(Self::that(Some(Notify::new())))
    }

    fn that(silence: Option<Notify>) -> Self {
        let pace = Pace {
            quiet: TimeDelta::seconds(600),
            refresh: Some(TimeDelta::seconds(60)),
        };
        Self {
            pace,
            heard: Mutex::default(),
            silence,
        }
    }

    fn heard(&self) -> Vec<(String, AlertState, u64)> {
        self.heard.lock().expect("nobody panicked").clone()
    }
}

#[async_trait]
impl AlertSink for Ear {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        if let Some(silence) = &self.silence {
            silence.notify_one();
            std::future::pending::<()>().await;
        }
        let mut heard = self.heard.lock().expect("nobody panicked");
        heard.push((alert.id.clone(), alert.state, alert.count));
        Ok(())
    }
}

struct Place {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
}

impl Place {
    fn new() -> Self {
        let start = DateTime::from_timestamp(1_795_435_200, 0).expect("a date");
        let clock = Arc::new(ManualClock::at(start));
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

    fn alerts(&self, ear: &Arc<Ear>) -> Arc<Alerts> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Arc::new(Alerts::new(store, clock, Arc::new(()), RETENTION, vec![ear.clone()]))
    }

    fn alert(&self, apart: &str, job: u64) -> Alert {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        let key = AlertKey::new(AlertKind::StolenRunner, Some(&repository)).caused_by(apart);
        Alert::new(&key, Some(JobId(job)), "it happened", self.clock.now())
    }
}

async fn told(alerts: &Alerts) -> usize {
    alerts.run_until_idle().await.expect("the store answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_tell_each_alert_once() {
    let (place, ear) = (Place::new(), Ear::new());
    let workers = [place.alerts(&ear), place.alerts(&ear), place.alerts(&ear)];
    for number in 0..50_usize {
        let alert = place.alert(&format!("job-{number}"), number as u64);
        workers[number % 3].raise(alert).await.expect("stored");
    }
    let at_once = workers.map(|alerts| tokio::spawn(async move { told(&alerts).await }));
    let counts = join_all(at_once).await;
    assert_eq!(
        counts.into_iter().map(|count| count.expect("it ends")).sum::<usize>(),
        50
    );
    let mut ids: Vec<String> = ear.heard().into_iter().map(|(id, ..)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), ear.heard().len()), (50, 50));
}

#[tokio::test]
async fn what_is_open_is_told_again_and_a_repeat_later() {
    let (place, ear) = (Place::new(), Ear::new());
    let alerts = place.alerts(&ear);
    alerts.raise(place.alert("-", 1)).await.expect("stored");
    assert_eq!(told(&alerts).await, 1);
    alerts.raise(place.alert("-", 1)).await.expect("stored");
    assert_eq!(told(&alerts).await, 0, "it is the same job");
    place.clock.advance(TimeDelta::seconds(60));
    assert_eq!(told(&alerts).await, 1);
    alerts.raise(place.alert("-", 2)).await.expect("stored");
    place.clock.advance(TimeDelta::seconds(599));
    assert_eq!(told(&alerts).await, 0, "a repeat can wait");
    place.clock.advance(TimeDelta::seconds(1));
    assert_eq!(told(&alerts).await, 1);
    let id = ear.heard()[0].0.clone();
    alerts.resolve(&id, "alice").await.expect("stored");
    assert_eq!(told(&alerts).await, 1);
    place.clock.advance(TimeDelta::seconds(6000));
    assert_eq!(told(&alerts).await, 0);
    let all: Vec<_> = ear
        .heard()
        .into_iter()
        .map(|(_, state, count)| (state, count))
        .collect();
    let open = |count| (AlertState::Open, count);
    assert_eq!(all, [open(1), open(1), open(2), (AlertState::Resolved, 2)]);
    assert_eq!(alerts.live().await.expect("listed"), [], "nobody looks at it any more");
}

#[tokio::test]
async fn a_worker_that_dies_while_it_tells_is_followed_by_another() {
    let (place, deaf, ear) = (Place::new(), Ear::deaf(), Ear::new());
    let first = place.alerts(&deaf);
    first.raise(place.alert("-", 1)).await.expect("stored");
    let id = first.list(&Asked::default(), 1).await.expect("listed")[0].id.clone();
    // As if it had died before the alert was in sight.
    let live = Key::new(Kind::LiveAlert, &id);
    place.store.remove(&live).await.expect("removed");
    assert_eq!(first.live().await.expect("listed"), []);
    let dies = tokio::spawn(async move { told(&first).await });
    deaf.silence.as_ref().expect("it is deaf").notified().await;
    dies.abort();

    let second = place.alerts(&ear);
    assert_eq!(told(&second).await, 0, "the first one may be alive");
    place.clock.advance(TimeDelta::seconds(15));
    assert_eq!(told(&second).await, 1);
    assert_eq!(ear.heard(), [(id, AlertState::Open, 1)]);
}

#[tokio::test]
async fn outsiders_cannot_make_alerts_without_bound_and_what_they_did_is_over_some_day() {
    let (place, ear) = (Place::new(), Ear::new());
    let alerts = place.alerts(&ear);
    for number in 0..700_u64 {
        let alert = place.alert(&format!("mallory-{number}"), number);
        alerts.raise(alert).await.expect("stored");
    }
    let listed = alerts.list(&Asked::default(), 1000).await.expect("listed");
    assert_eq!(listed.len(), 501);
    let others = listed
        .iter()
        .find(|alert| alert.key == "octo/chem/stolen-runner/others");
    assert_eq!(others.map(|alert| alert.count), Some(200));
    assert_eq!(told(&alerts).await, 501);
    place.clock.advance(TimeDelta::days(8));
    told(&alerts).await;
    let resolved = Asked {
        states: vec![AlertState::Resolved],
        ..Asked::default()
    };
    let over = alerts.list(&resolved, 1000).await.expect("listed");
    assert_eq!(over.len(), 501);
    assert!(over.iter().all(|alert| alert.resolved_by.as_deref() == Some(ITSELF)));
    assert_eq!(alerts.live().await.expect("listed"), []);
}
