//! Workers on one store in memory, a simulated GitHub, and a clock that only the test moves.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::events::worker;
use jitgate::app::records::{self, RolloutRecord};
use jitgate::app::rollout::pass;
use jitgate::app::{Context, signature};
use jitgate::config::{self, Config, Credentials, Sources};
use jitgate::domain::alert::Alert;
use jitgate::domain::rollout::{Change, Changed};
use jitgate::http::{Bind, Running};
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::{Clock, Failure, Ledger};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator, Tally};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

const SECRET: &str = "hunter2-hunter2-hunter2";
pub(crate) const REPOSITORY: &str = "octo-org/chem-model";
pub(crate) const VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";
/// Seconds in which a rollback is over, with everything that follows from it.
const ROUNDS: usize = 90;
/// Seconds after that in which nothing may happen a second time: longer than the lease of a dead worker.
const FURTHER_ROUNDS: usize = 25;

pub(crate) struct Stage {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) github: Client,
    pub(crate) host: Arc<SyntheticHost>,
    config: Config,
    pub(crate) store: Store,
    ingress: Running,
    http: reqwest::Client,
    _simulator: Simulator,
}

impl Stage {
    /// Job 101 of the trusted run 20 waits for a slot that never boots. Job 401 of run 40 was not routed, and its delivery
    /// waits.
    pub(crate) async fn before_a_rollback() -> Self {
        let stage = Self::set(json!({})).await;
        let gate = stage.gate("gate0001");
        stage.deliver("queued", 101).await;
        worker::run_until_idle(&gate, "test").await.expect("the store answers");
        stage.deliver("queued", 401).await;
        stage
    }

    pub(crate) async fn set(more: Value) -> Self {
        let start = DateTime::from_timestamp(1_795_435_200, 0).expect("a date");
        let clock = Arc::new(ManualClock::at(start));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let config = configuration(simulator.url(), more);
        let store = runtime::open_store(&config, time.clone()).expect("a store");
        let http = reqwest::Client::new();
        let host = Arc::new(SyntheticHost::new(http.clone(), time.clone(), config.synthetic));
        let door = runtime::build_context(&config, &time, &store, None, "gate0000", Arc::new(())).expect("a gate");
        let listen = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let (ingress, _) = runtime::open_ingress(&config, &door, runtime::health(&door), listen).expect("an ingress");
        let stage = Self {
            clock,
            github: Client::new(simulator.url(), http.clone()),
            host,
            config,
            store,
            ingress,
            http,
            _simulator: simulator,
        };
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

    pub(crate) fn gate(&self, instance: &str) -> Arc<Context> {
        self.gate_on(self.store.ledger.clone(), instance)
    }

    /// A worker with another view of the ledger.
    pub(crate) fn gate_on(&self, ledger: Arc<dyn Ledger>, instance: &str) -> Arc<Context> {
        let store = Store {
            ledger,
            ..self.store.clone()
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (config, host) = (&self.config, self.host.clone());
        runtime::build_context(config, &clock, &store, Some(host), instance, Arc::new(())).expect("a gate")
    }

    pub(crate) async fn world(&self, change: Value) {
        self.github.apply(&change).await.expect("the simulator takes it");
    }

    pub(crate) async fn deliver(&self, action: &str, job: u64) {
        let payload = self.github.render("workflow_job", action, job, None).await;
        let body = payload.expect("a payload").to_string();
        let url = format!("http://{}/webhooks/github", self.ingress.address().expect("an address"));
        let signature = signature::sign(&SecretString::from(SECRET), body.as_bytes());
        let request = self
            .http
            .post(url)
            .body(body)
            .header("content-type", "application/json");
        let request = request.header("x-github-event", "workflow_job");
        let request = request.header(
            "x-github-delivery",
            format!("{action}-{job}-{}", self.clock.now().timestamp()),
        );
        let answer = request.header("x-hub-signature-256", signature).send().await;
        assert_eq!(answer.expect("an answer").status(), 202);
    }

    /// One second of a worker and of GitHub.
    pub(crate) async fn second(&self, gate: &Arc<Context>) {
        worker::run_until_idle(gate, "test").await.expect("the store answers");
        pass::run_once(gate).await;
        self.github.settle().await.expect("the simulator answers");
        self.clock.advance(TimeDelta::seconds(1));
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

    pub(crate) async fn record(&self) -> RolloutRecord {
        let record = records::load(self.store.ledger.as_ref(), REPOSITORY).await;
        record.expect("the store answers").unwrap_or_default()
    }

    /// The changes of routing.
    pub(crate) async fn history(&self) -> Vec<Change> {
        let is_switch = |change: &Change| {
            matches!(change.what, Changed::Enable | Changed::Disable | Changed::Rollback) && !change.would
        };
        self.record().await.history.into_iter().filter(is_switch).collect()
    }

    pub(crate) async fn tally(&self) -> Tally {
        self.github.tally().await.expect("a tally")
    }

    pub(crate) async fn alerts(&self, kind: &str) -> Vec<Alert> {
        let all: Vec<Alert> = records::all(self.store.ledger.as_ref())
            .await
            .expect("the store answers");
        all.into_iter().filter(|alert| alert.kind.as_str() == kind).collect()
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

fn configuration(api_url: &str, more: Value) -> Config {
    let mut overrides = json!({
        "webhook": {"secrets": [SECRET]},
        "github": {"api_url": api_url},
        "repositories": [{"full_name": REPOSITORY}],
        "store": {"url": "memory:"},
        "runners": {"host": "synthetic", "min": 0},
        "synthetic": {"boot_s": 3600},
        "rollout": {"mode": "enforce"},
        "server": {"http_workers": 1},
    });
    for (section, values) in more.as_object().expect("sections") {
        for (key, value) in values.as_object().expect("keys") {
            overrides[section][key] = value.clone();
        }
    }
    let sources = Sources {
        overrides: overrides.as_object().cloned().expect("an object"),
        ..Sources::default()
    };
    let mut config = config::load(sources).expect("a configuration").config;
    config.github.credentials = Credentials::Token(SecretString::from("sim-test"));
    config
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
