//! A gate in this process with an App's credentials, a simulated GitHub, and a clock that stands still.

use crate::support::scripted::KEY;
use crate::support::simulator::jwt;
use chrono::{DateTime, TimeDelta};
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::alerts::AlertFilter;
use jitgate::app::events::worker;
use jitgate::app::pool::pass;
use jitgate::app::records::{self, JobRecord};
use jitgate::app::recovery::passes::{self, Recovered};
use jitgate::app::{Context, signature};
use jitgate::config::{self, Config, Credentials, Sources};
use jitgate::domain::alert::{AlertKind, AlertState};
use jitgate::http::{Bind, Running};
use jitgate::ports::{Clock, Failure, RunnerHost};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator, Tally};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const SECRET: &str = "the webhook secret";
/// Rounds in which everything must come to rest.
const ROUNDS: usize = 200;

pub(crate) struct Stage {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) github: Client,
    pub(crate) gate: Arc<Context>,
    simulator: Simulator,
    config: Config,
    store: Store,
    host: Arc<dyn RunnerHost>,
    ingress: Option<Running>,
    http: reqwest::Client,
}

impl Stage {
    /// A gate that is up, in a world with one trusted person. `more` are settings by section.
    pub(crate) async fn with(more: Value) -> Self {
        let start = DateTime::from_timestamp(1_795_435_200, 0).expect("a date");
        let clock = Arc::new(ManualClock::at(start));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let mut overrides = json!({
            "webhook": {"secrets": [SECRET]},
            "github": {"api_url": simulator.url()},
            "repositories": [{"full_name": "octo-org/chem-model"}],
            "store": {"url": "memory:"},
            "runners": {"host": "synthetic", "max": 10},
            "rollout": {"mode": "enforce"},
            "server": {"http_workers": 1},
        });
        for (section, settings) in more.as_object().into_iter().flatten() {
            for (key, value) in settings.as_object().expect("a section") {
                overrides[section][key] = value.clone();
            }
        }
        let loaded = config::load(Sources {
            overrides: overrides.as_object().cloned().expect("an object"),
            ..Sources::default()
        });
        let mut config = loaded.expect("a configuration").config;
        config.github.credentials = Credentials::App {
            app_id: "1".to_owned(),
            private_key: SecretString::from(KEY.private_pem.clone()),
            installation_id: None,
        };
        let store = runtime::open_store(&config, time.clone()).expect("a store");
        let http = reqwest::Client::new();
        let host: Arc<dyn RunnerHost> = Arc::new(SyntheticHost::new(http.clone(), time.clone(), config.synthetic));
        let gate = runtime::build_context(&config, &time, &store, Some(host.clone()), "recovery", Arc::new(()));
        let mut stage = Self {
            github: Client::new(simulator.url(), http.clone()),
            gate: gate.expect("a gate"),
            clock,
            simulator,
            config,
            store,
            host,
            ingress: None,
            http,
        };
        stage
            .world(json!({
                "pulls": [{"number": 7, "author": "alice"}],
                "permissions": {"alice": "write"},
                "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            }))
            .await;
        stage.open();
        stage
    }

    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    fn open(&mut self) {
        let health = runtime::health(&self.gate);
        let listen = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let (ingress, _) = runtime::open_ingress(&self.config, &self.gate, health, listen).expect("an ingress");
        self.ingress = Some(ingress);
    }

    /// Stops the gate: from now on GitHub's deliveries get lost.
    pub(crate) async fn go_down(&mut self) {
        if let Some(ingress) = self.ingress.take() {
            ingress.stop().await;
        }
        self.world(json!({"delivers": false})).await;
    }

    /// Starts the gate again on its store, with nothing in its memory.
    pub(crate) async fn come_up(&mut self) {
        self.gate = self.another_gate("recovery");
        self.open();
        self.world(json!({"delivers": true})).await;
    }

    /// Another gate on the same store, without an ingress of its own.
    pub(crate) fn another_gate(&self, instance: &str) -> Arc<Context> {
        let time: Arc<dyn Clock> = self.clock.clone();
        let host = Some(self.host.clone());
        runtime::build_context(&self.config, &time, &self.store, host, instance, Arc::new(())).expect("a gate")
    }

    pub(crate) async fn world(&self, change: Value) {
        self.github.apply(&change).await.expect("a valid change");
    }

    /// Adds a queued job of the trusted pull request. GitHub sends a delivery about it if `announces`.
    pub(crate) async fn queue_job(&self, job: u64, announces: bool) {
        let runs = json!([{"id": 20, "pull": 7, "jobs": [{"id": job, "created_at": "now"}]}]);
        self.world(json!({"announces": announces, "runs": runs})).await;
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Searches for what GitHub did not deliver.
    pub(crate) async fn recover(&self) -> Recovered {
        passes::run_once(&self.gate).await.expect("a complete pass")
    }

    /// Searches as far as GitHub lets it.
    pub(crate) async fn try_to_recover(&self) -> Result<Recovered, Failure> {
        passes::run_once(&self.gate).await
    }

    /// Delivers what GitHub has to say, and works on it, until both are quiet.
    pub(crate) async fn settle(&self) {
        for _ in 0..ROUNDS {
            if self.round().await == 0 {
                return;
            }
        }
        panic!("jitgate and GitHub do not come to rest");
    }

    /// One round of deliveries, decisions, runners and jobs. Returns the number of things that happened.
    pub(crate) async fn round(&self) -> usize {
        let deliveries = self.github.outbox().await.expect("deliveries");
        let mut happened = deliveries.len();
        for delivery in deliveries {
            self.post(&delivery.guid, &delivery.event, &delivery.payload).await;
        }
        happened += worker::run_until_idle(&self.gate, "test")
            .await
            .expect("the store answers");
        happened += pass::run_once(&self.gate).await.expect("the host answers");
        happened + self.github.settle().await.expect("settled")
    }

    pub(crate) async fn post(&self, guid: &str, event: &str, payload: &Value) -> u16 {
        let address = self.ingress.as_ref().and_then(Running::address).expect("an ingress");
        let body = payload.to_string();
        let request = self
            .http
            .post(format!("http://{address}/webhooks/github"))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", guid)
            .header(
                "x-hub-signature-256",
                signature::sign(&SecretString::from(SECRET), body.as_bytes()),
            )
            .body(body);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// A runner loses its connection, as it does when its machine dies.
    pub(crate) async fn disconnect(&self, runner: u64) {
        let url = format!("{}/_runner/{runner}/offline", self.simulator.url());
        let answer = self.http.post(url).send().await.expect("an answer");
        assert!(answer.status().is_success(), "runner {runner}: {answer:?}");
    }

    pub(crate) async fn job(&self, job: u64) -> Option<JobRecord> {
        let record = records::load(self.gate.ledger.as_ref(), &job.to_string()).await;
        record.expect("the store answers")
    }

    /// Returns the mark `synthesized` of each decision on a job, oldest first.
    pub(crate) async fn synthesized(&self, job: u64) -> Vec<bool> {
        let record = self.job(job).await.expect("a job");
        let decisions = record.decisions.iter().map(|entry| &entry.decision);
        let of_events = decisions.filter(|decision| !decision.delivery.as_str().starts_with("gate-"));
        of_events.map(|decision| decision.synthesized).collect()
    }

    pub(crate) async fn tally(&self) -> Tally {
        self.github.tally().await.expect("a tally")
    }

    /// The kinds of the alerts in these states.
    pub(crate) async fn alerts(&self, states: &[AlertState]) -> Vec<AlertKind> {
        let filter = AlertFilter {
            states: states.to_vec(),
            ..AlertFilter::default()
        };
        let alerts = self.gate.alerts.list(&filter, 100).await.expect("the store answers");
        alerts.iter().map(|alert| alert.kind).collect()
    }

    /// The number of redeliveries that GitHub made of each GUID, from its log.
    pub(crate) async fn redeliveries(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut next = Some(format!("{}/app/hook/deliveries?per_page=100", self.simulator.url()));
        while let Some(url) = next.take() {
            let now = self.clock.now().timestamp();
            let asked = self.http.get(url).bearer_auth(jwt(now - 60, now + 540)).send().await;
            let answer = asked.expect("an answer");
            let link = answer
                .headers()
                .get("link")
                .map(|link| link.to_str().expect("text").to_owned());
            next = link.and_then(|link| Some(link.strip_prefix('<')?.split('>').next()?.to_owned()));
            let page: Vec<Value> = answer.json().await.expect("a page");
            for attempt in page {
                let guid = attempt["guid"].as_str().expect("a GUID").to_owned();
                *counts.entry(guid).or_default() += usize::from(attempt["redelivery"] == json!(true));
            }
        }
        counts
    }

    /// The calls of an endpoint so far.
    pub(crate) async fn calls(&self, endpoint: &str) -> u64 {
        self.tally().await.calls.get(endpoint).copied().unwrap_or_default()
    }
}
