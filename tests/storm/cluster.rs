//! jitgate processes on one store, and the store's server. Each of them can be killed and restarted.

use crate::deliveries::SeededRng;
use crate::gate::{Gate, Place};
use crate::github::GitHub;
use crate::redis::{DURABLE, Server};
use std::sync::Arc;

/// The settings of every process.
const SETTINGS: &[(&str, &str)] = &[
    // The simulated GitHub is slow under load.
    ("github.timeout_s", "60"),
    // A job whose runner dies with its process gets another one.
    ("runners.attempts", "50"),
    ("runners.max", "100"),
    // Attempts of outsiders delay no trusted job here.
    ("routing.quarantine_s", "0"),
    ("telemetry.log", "warn,jitgate::runtime=info"),
];

/// A process of the cluster.
struct Member {
    role: &'static str,
    /// The process while it runs. It owns its directory.
    gate: Option<Gate>,
    /// The directory while the process is down.
    directory: Option<Place>,
}

impl Member {
    fn new(role: &'static str) -> Self {
        Self {
            role,
            gate: None,
            directory: Some(Place::new()),
        }
    }
}

/// All processes, and the Redis server that they share.
pub(crate) struct Cluster {
    github: Arc<GitHub>,
    members: Vec<Member>,
    redis: Option<Server>,
    store: String,
}

impl Cluster {
    /// Starts processes of these roles on a durable Redis.
    pub(crate) async fn on_redis(github: &Arc<GitHub>, roles: &[&'static str]) -> Self {
        let redis = Server::start(&[DURABLE, &["--maxmemory-policy", "noeviction"]].concat());
        let store = format!("redis://{}", redis.address());
        Self::start(github, roles, Some(redis), store).await
    }

    /// Starts one process on SQLite.
    pub(crate) async fn on_sqlite(github: &Arc<GitHub>) -> Self {
        Self::start(github, &["all"], None, "sqlite:./jitgate-state/jitgate.db".to_owned()).await
    }

    /// Adds a process.
    pub(crate) async fn add(&mut self, role: &'static str) {
        self.members.push(Member::new(role));
        self.launch(self.members.len() - 1).await;
    }

    async fn start(github: &Arc<GitHub>, roles: &[&'static str], redis: Option<Server>, store: String) -> Self {
        let mut cluster = Self {
            github: github.clone(),
            members: roles.iter().copied().map(Member::new).collect(),
            redis,
            store,
        };
        for number in 0..cluster.members.len() {
            cluster.launch(number).await;
        }
        cluster
    }

    /// Returns the number of things that can be killed: every process, and the Redis server.
    pub(crate) fn size(&self) -> usize {
        self.members.len() + usize::from(self.redis.is_some())
    }

    /// Kills one of them and returns its name.
    pub(crate) async fn kill(&mut self, number: usize) -> &'static str {
        let Some(member) = self.members.get_mut(number) else {
            self.redis().kill();
            return "redis";
        };
        member.directory = member.gate.take().map(Gate::killed).or(member.directory.take());
        let instance = member.directory.as_ref().map(Place::instance).expect("a directory");
        let role = member.role;
        self.publish_addresses();
        self.github.lose_runners_of(&instance).await;
        role
    }

    /// Restarts one of them after [`Self::kill`].
    pub(crate) async fn restart(&mut self, number: usize) {
        if number < self.members.len() {
            self.launch(number).await;
        } else {
            self.redis().start_again();
        }
    }

    /// Returns one of them at random.
    pub(crate) fn any(&self, rng: &mut SeededRng) -> usize {
        rng.below(self.size())
    }

    pub(crate) fn redis(&mut self) -> &mut Server {
        self.redis.as_mut().expect("a cluster on Redis")
    }

    /// Returns a process that runs.
    pub(crate) fn gate(&self, number: usize) -> &Gate {
        self.members[number].gate.as_ref().expect("the process runs")
    }

    pub(crate) fn gate_mut(&mut self, number: usize) -> &mut Gate {
        self.members[number].gate.as_mut().expect("the process runs")
    }

    async fn launch(&mut self, number: usize) {
        let member = &mut self.members[number];
        let place = member.directory.take().expect("a directory");
        let settings = [SETTINGS, &[("store.url", &self.store)]].concat();
        let gate = Gate::start_in(place, &self.github.url, &settings, &["--role", member.role]).await;
        member.gate = Some(gate);
        self.publish_addresses();
    }

    fn publish_addresses(&self) {
        let alive = self.members.iter().filter_map(|member| member.gate.as_ref());
        let addresses = alive
            .map(|gate| gate.public.clone())
            .filter(|address| !address.is_empty());
        self.github.ingresses.send_replace(addresses.collect());
    }
}
