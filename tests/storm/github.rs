//! The simulated GitHub of a storm, with the deliveries that it makes itself and a sender that does not give up.

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

/// The number of concurrent deliveries.
const MAX_SENDING: usize = 24;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The simulated GitHub, and the ingresses that it delivers to.
pub(crate) struct GitHub {
    pub(crate) client: Client,
    pub(crate) url: String,
    http: reqwest::Client,
    /// Deliveries arrive at the rate of a big organization on a busy day, which leaves time for many kills.
    rate: tokio::sync::Mutex<Interval>,
    /// The addresses of the ingresses that run.
    pub(crate) ingresses: watch::Sender<Vec<String>>,
    /// The number of attempts to deliver, failed ones included.
    pub(crate) sent: watch::Sender<usize>,
    /// The GUIDs of the deliveries that were answered 202.
    taken: Mutex<BTreeSet<String>>,
    /// The GUIDs of the deliveries that the simulator made itself, by job.
    told: Mutex<BTreeMap<u64, BTreeSet<String>>>,
    // Stops when dropped.
    _simulator: Simulator,
}

impl GitHub {
    pub(crate) async fn of(world: &Value) -> Arc<Self> {
        let listen = ([127, 0, 0, 1], 0).into();
        let simulator = Simulator::start(Arc::new(SystemClock), listen).expect("a simulator");
        // One connection for each request: the other side can close an idle connection when it is used again.
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(0);
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

    /// Sends all deliveries concurrently, each until an ingress accepts it.
    pub(crate) async fn deliver_all(&self, deliveries: Vec<Delivery>) {
        iter(deliveries)
            .for_each_concurrent(MAX_SENDING, async |delivery| self.deliver(&delivery).await)
            .await;
    }

    /// Sends a delivery to one ingress after the other until one of them accepts it.
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
                Some(202) => drop(self.taken.lock().expect("no panic").insert(delivery.guid.clone())),
                Some(200) => {}
                Some(503) | None => continue,
                Some(other) => panic!("{} was answered {other}", delivery.guid),
            }
            return;
        }
    }

    /// Posts a delivery once. Returns the status, or `None` without an answer.
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

    /// Runs and ends jobs, and delivers the events of that. Returns true if there were none.
    pub(crate) async fn go_on(&self) -> bool {
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
        let mut told = self.told.lock().expect("no panic");
        told.entry(job).or_default().insert(guid.to_owned());
    }

    /// Takes the runners of an instance offline, as if its machine had crashed.
    pub(crate) async fn lose_runners_of(&self, instance: &str) {
        for runner in self.runners().await {
            let is_its = runner["name"].as_str().is_some_and(|name| name.contains(instance));
            if is_its && runner["status"] == "online" {
                let url = format!("{}/_runner/{}/offline", self.url, runner["id"]);
                // A runner that completed its job meanwhile has no record any more; that answer is fine too.
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

    /// Returns the GUIDs of the deliveries that were answered 202.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        self.taken.lock().expect("no panic").clone()
    }

    /// Returns the GUIDs of the deliveries that the simulator made itself, by job.
    pub(crate) fn told(&self) -> BTreeMap<u64, BTreeSet<String>> {
        self.told.lock().expect("no panic").clone()
    }
}

/// Returns the ticks of a polling loop.
pub(crate) fn pace(millis: u64) -> Interval {
    let mut pace = interval(Duration::from_millis(millis));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
