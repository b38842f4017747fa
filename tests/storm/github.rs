//! GitHub in a storm: the simulated one, what it delivers of its own accord, and a sender that does not give up.

use crate::deliveries::Delivery;
use crate::gate::SECRET;
use crate::payload::sign;
use futures::StreamExt;
use futures::stream::iter;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Deliveries on their way at the same time.
const SENDERS: usize = 24;

/// GitHub, and everything it talks to.
pub(crate) struct GitHub {
    pub(crate) client: Client,
    pub(crate) url: String,
    http: reqwest::Client,
    /// Deliveries come at the rate of a big organization on a busy day, so that there is time for much to happen.
    rate: tokio::sync::Mutex<Interval>,
    /// Where the ingresses are that live.
    pub(crate) ingresses: watch::Sender<Vec<String>>,
    /// Deliveries that were sent, in vain or not.
    pub(crate) sent: watch::Sender<usize>,
    /// GUIDs that were answered 202.
    taken: Mutex<BTreeSet<String>>,
    /// GUIDs of GitHub's own accord, by job.
    told: Mutex<BTreeMap<u64, BTreeSet<String>>>,
    // Stops when dropped.
    _simulator: Simulator,
}

impl GitHub {
    pub(crate) async fn of(world: &Value) -> Arc<Self> {
        let listen = ([127, 0, 0, 1], 0).into();
        let simulator = Simulator::start(Arc::new(SystemClock), listen).expect("a simulator");
        let patience = Duration::from_secs(10);
        // A connection for each request: one that is kept can be closed by the other side just when it is used again.
        let http = reqwest::Client::builder().timeout(patience).pool_max_idle_per_host(0);
        let http = http.build().expect("a client");
        let client = Client::new(simulator.url(), http.clone());
        client.apply(world).await.expect("a world");
        Arc::new(Self {
            client,
            url: simulator.url().to_owned(),
            http,
            rate: tokio::sync::Mutex::new(pace(4)),
            ingresses: watch::Sender::default(),
            sent: watch::Sender::default(),
            taken: Mutex::default(),
            told: Mutex::default(),
            _simulator: simulator,
        })
    }

    /// Sends all of them, many at a time, each until somebody takes it.
    pub(crate) async fn deliver_all(&self, deliveries: Vec<Delivery>) {
        iter(deliveries)
            .for_each_concurrent(SENDERS, async |delivery| self.deliver(&delivery).await)
            .await;
    }

    /// Sends a delivery to one ingress or another until it is taken, as somebody who redelivers would.
    pub(crate) async fn deliver(&self, delivery: &Delivery) {
        for turn in 0.. {
            self.rate.lock().await.tick().await;
            let ingresses = self.ingresses.borrow().clone();
            let answer = match ingresses.get((turn + delivery.body.len()) % ingresses.len().max(1)) {
                Some(address) => self.post(address, delivery).await,
                None => None,
            };
            self.sent.send_modify(|sent| *sent += 1);
            match answer {
                Some(202) => drop(self.taken.lock().expect("unharmed").insert(delivery.guid.clone())),
                Some(200) => {}
                Some(503) | None => continue,
                Some(other) => panic!("{} was answered {other}", delivery.guid),
            }
            return;
        }
    }

    /// Posts a delivery once; gives the status, if there was an answer.
    async fn post(&self, address: &str, delivery: &Delivery) -> Option<u16> {
        let request = self
            .http
            .post(format!("http://{address}/webhooks/github"))
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "workflow_job")
            .header("X-GitHub-Delivery", &delivery.guid)
            .header("X-Hub-Signature-256", sign(SECRET, delivery.body.as_bytes()))
            .body(delivery.body.clone());
        Some(request.send().await.ok()?.status().as_u16())
    }

    /// Lives on: jobs run and end, and that is delivered. Gives whether nothing happened.
    pub(crate) async fn live(&self) -> bool {
        let changes = self.client.settle().await.expect("settled");
        let outbox = self.client.outbox().await.expect("deliveries");
        let is_quiet = changes == 0 && outbox.is_empty();
        for delivery in outbox {
            let job = delivery.payload["workflow_job"]["id"].as_u64().expect("a job");
            self.note(job, &delivery.guid);
            let delivery = Delivery {
                guid: delivery.guid,
                job,
                body: delivery.payload.to_string(),
            };
            self.deliver(&delivery).await;
        }
        let mut alive = BTreeMap::<String, usize>::new();
        for runner in self.runners().await {
            let job = runner["name"].as_str().and_then(|name| name.rsplit('-').nth(1));
            let live = runner["status"] == "online";
            *alive.entry(job.expect("a job in the name").to_owned()).or_default() += usize::from(live);
        }
        let twice: Vec<_> = alive.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "more than one live runner for {twice:?}");
        is_quiet
    }

    fn note(&self, job: u64, guid: &str) {
        let mut told = self.told.lock().expect("unharmed");
        told.entry(job).or_default().insert(guid.to_owned());
    }

    /// The machine of this instance went down, and its runners with it.
    pub(crate) async fn lose_runners_of(&self, instance: &str) {
        for runner in self.runners().await {
            let is_its = runner["name"].as_str().is_some_and(|name| name.contains(instance));
            if is_its && runner["status"] == "online" {
                let url = format!("{}/_runner/{}/offline", self.url, runner["id"]);
                // One that has done its job meanwhile is gone by itself.
                self.http.post(url).send().await.expect("an answer");
            }
        }
    }

    async fn runners(&self) -> Vec<Value> {
        let url = format!("{}/repos/octo-org/chem-model/actions/runners?per_page=100", self.url);
        let answer = self
            .http
            .get(url)
            .bearer_auth("sim-test")
            .send()
            .await
            .expect("an answer");
        let mut body: Value = answer.json().await.expect("JSON");
        serde_json::from_value(body["runners"].take()).expect("runners")
    }

    /// GUIDs that were answered 202.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        self.taken.lock().expect("unharmed").clone()
    }

    /// GUIDs of GitHub's own accord, by job.
    pub(crate) fn told(&self) -> BTreeMap<u64, BTreeSet<String>> {
        self.told.lock().expect("unharmed").clone()
    }
}

/// Beats for those who have to try again and again.
pub(crate) fn pace(millis: u64) -> Interval {
    let mut pace = interval(Duration::from_millis(millis));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
