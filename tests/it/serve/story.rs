//! A gate and a simulated GitHub that live together in real time: deliveries go through the real ingress, the worker acts on
//! its own, and what GitHub tells of that is delivered in turn.

use crate::support::gate::{Gate, Place, Settings};
use crate::support::payload::guid;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator, Tally};
use serde_json::{Value, json};
use std::sync::Arc;

/// Gate and GitHub set each other off no more often than that.
const ECHOES: usize = 50;

pub(crate) struct Story {
    pub(crate) gate: Gate,
    pub(crate) github: Client,
    told: usize,
    /// Stops when dropped.
    pub(crate) simulator: Simulator,
}

impl Story {
    /// A world with a gate in it. To be used in a runtime with several threads, which the simulator needs.
    pub(crate) async fn of(world: Value, settings: Settings<'_>) -> Self {
        Self::told_in(Place::new(), world, settings, &[]).await
    }

    /// The same, with a gate that is started after the shell has done something.
    pub(crate) async fn started_after(first: &str, world: Value, settings: Settings<'_>) -> Self {
        let (simulator, github) = Self::github(world).await;
        let place = Place::new();
        let settings = [&[("github.api_url", simulator.url())], settings].concat();
        let process = place.start_after(first, &["serve"], &settings);
        Self {
            gate: Gate::of(process, place).await,
            github,
            told: 0,
            simulator,
        }
    }

    pub(crate) async fn told_in(place: Place, world: Value, settings: Settings<'_>, args: &[&str]) -> Self {
        let (simulator, github) = Self::github(world).await;
        Self {
            gate: Gate::start_in(place, simulator.url(), settings, args).await,
            github,
            told: 0,
            simulator,
        }
    }

    async fn github(world: Value) -> (Simulator, Client) {
        let listen = ([127, 0, 0, 1], 0).into();
        let simulator = Simulator::start(Arc::new(SystemClock), listen).expect("a simulator");
        let github = Client::new(simulator.url(), reqwest::Client::new());
        github.apply(&world).await.expect("a world");
        (simulator, github)
    }

    /// GitHub tells of a job of the world. Returns when both are quiet.
    pub(crate) async fn deliver(&mut self, action: &str, job: u64) {
        self.deliver_with(action, job, &json!({})).await;
    }

    /// The same, with a merge patch over the payload.
    pub(crate) async fn deliver_with(&mut self, action: &str, job: u64, patch: &Value) {
        let payload = self.github.render("workflow_job", action, job, Some(patch)).await;
        self.post("workflow_job", &payload.expect("a payload")).await;
        self.settle().await;
    }

    async fn post(&mut self, event: &str, payload: &Value) {
        self.told += 1;
        let guid = guid(self.told);
        let answer = self.gate.deliver(event, &guid, payload.to_string()).await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        let path = format!("/api/v1/deliveries/{guid}");
        self.gate
            .ask_until(&path, |answer| {
                let delivery = &answer["delivery"];
                let waits_for_a_later_try = delivery["state"] == "queued" && delivery["attempts"].as_u64() > Some(0);
                waits_for_a_later_try || matches!(delivery["state"].as_str(), Some("done" | "dead" | "ignored"))
            })
            .await;
    }

    async fn settle(&mut self) {
        for _ in 0..ECHOES {
            let is_quiet = |status: &Value| status["pool"]["quiet"] != json!(false);
            self.gate.ask_until("/api/v1/status", is_quiet).await;
            let deliveries = self.github.outbox().await.expect("deliveries");
            let is_quiet = deliveries.is_empty();
            for delivery in deliveries {
                self.post(&delivery.event, &delivery.payload).await;
            }
            if self.github.settle().await.expect("settled") == 0 && is_quiet {
                return;
            }
        }
        panic!("jitgate and GitHub do not stop reacting to each other");
    }

    /// The newest decision record of a job.
    pub(crate) async fn record(&self, job: u64) -> Value {
        let answer = self.gate.ask(&format!("/api/v1/jobs/{job}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// The first decision on a job, which is on its `queued` event, in a few words to compare.
    pub(crate) async fn verdict(&self, job: u64) -> Verdict {
        let first = self.record(job).await["history"][0].clone();
        let text = |pointer: &str| {
            first
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let list = |pointer: &str| {
            let list = first.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut reasons = list("/trust/reasons");
        reasons.extend(list("/admission/reasons"));
        reasons.sort();
        reasons.dedup();
        let mut actions = list("/actions");
        actions.sort();
        Verdict {
            labels: text("/labels_class"),
            trust: text("/trust/verdict"),
            routing: text("/routing/verdict"),
            admission: text("/admission/verdict"),
            reasons: reasons.join(" "),
            actions: actions.join(" "),
        }
    }

    pub(crate) async fn tally(&self) -> Tally {
        self.github.tally().await.expect("a tally")
    }
}

/// The fields of a decision record in the words of the contract. Lists are sorted and joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) labels: String,
    pub(crate) trust: String,
    pub(crate) routing: String,
    pub(crate) admission: String,
    pub(crate) reasons: String,
    pub(crate) actions: String,
}

impl Verdict {
    /// `labels trust routing admission`, then reasons, then actions.
    pub(crate) fn of(words: &str, reasons: &str, actions: &str) -> Self {
        let mut words = words.split(' ').map(str::to_owned);
        let mut next = || words.next().expect("four words");
        Self {
            labels: next(),
            trust: next(),
            routing: next(),
            admission: next(),
            reasons: reasons.to_owned(),
            actions: actions.to_owned(),
        }
    }
}
