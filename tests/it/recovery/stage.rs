//! A gate in this process with an App's credentials, a simulated GitHub, and a clock that stands still.

use crate::support::in_process::{InProcess, decide_and_serve, overlaid};
use crate::support::scripted::KEY;
use crate::support::simulator::jwt;
use jitgate::app::Context;
use jitgate::app::alerts::AlertFilter;
use jitgate::app::records::{self, JobRecord};
use jitgate::app::recovery::passes::{self, Recovered};
use jitgate::config::Credentials;
use jitgate::domain::alert::{AlertKind, AlertState};
use jitgate::ports::Failure;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// Rounds in which everything must come to rest.
const ROUNDS: usize = 200;

pub(crate) struct Stage {
    base: InProcess,
    pub(crate) gate: Arc<Context>,
}

impl Deref for Stage {
    type Target = InProcess;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Stage {
    /// A gate that is up, in a world with one trusted person. `more` are settings by section.
    pub(crate) async fn with(more: Value) -> Self {
        let credentials = Credentials::App {
            app_id: "1".to_owned(),
            private_key: SecretString::from(KEY.private_pem.clone()),
            installation_id: None,
        };
        let settings = json!({"runners": {"max": 10}});
        let base = InProcess::with(credentials, &overlaid(settings, &more));
        let mut stage = Self {
            gate: base.gate("recovery"),
            base,
        };
        stage
            .world(json!({
                "pulls": [{"number": 7, "author": "alice"}],
                "permissions": {"alice": "write"},
                "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            }))
            .await;
        stage.base.open_ingress(&stage.gate);
        stage
    }

    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// Stops the gate: from now on GitHub's deliveries get lost.
    pub(crate) async fn go_down(&mut self) {
        self.base.close_ingress().await;
        self.world(json!({"delivers": false})).await;
    }

    /// Starts the gate again on its store, with nothing in its memory.
    pub(crate) async fn come_up(&mut self) {
        self.gate = self.base.gate("recovery");
        self.base.open_ingress(&self.gate);
        self.world(json!({"delivers": true})).await;
    }

    /// Another gate on the same store, without an ingress of its own.
    pub(crate) fn another_gate(&self, instance: &str) -> Arc<Context> {
        self.base.gate(instance)
    }

    /// Adds a queued job of the trusted pull request. GitHub sends a delivery about it if `announces`.
    pub(crate) async fn queue_job(&self, job: u64, announces: bool) {
        let runs = json!([{"id": 20, "pull": 7, "jobs": [{"id": job, "created_at": "now"}]}]);
        self.world(json!({"announces": announces, "runs": runs})).await;
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
        happened += decide_and_serve(&self.gate).await;
        happened + self.github.settle().await.expect("settled")
    }

    pub(crate) async fn post(&self, guid: &str, event: &str, payload: &Value) -> u16 {
        self.post_event(guid, event, payload.to_string()).await
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
            let now = self.now().timestamp();
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
