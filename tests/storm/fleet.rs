//! Processes of jitgate on one store, and the store's server: each can be killed and started again.

use crate::deliveries::Dice;
use crate::gate::{Gate, Place};
use crate::github::GitHub;
use crate::redis::{DURABLE, Server};
use std::sync::Arc;

/// What every process of a storm is told.
const SETTINGS: &[(&str, &str)] = &[
    // GitHub may be slow.
    ("github.timeout_s", "60"),
    // A job whose runner is lost to a kill gets another one, however often.
    ("runners.attempts", "50"),
    ("runners.max", "100"),
    // Attempts of outsiders hold up nobody here.
    ("routing.quarantine_s", "0"),
    ("telemetry.log", "warn,jitgate::runtime=info"),
];

/// A process, as long as it lives, and its directory.
struct Ship {
    role: &'static str,
    gate: Option<Gate>,
    ashore: Option<Place>,
}

/// All processes, and the server they share.
pub(crate) struct Fleet {
    github: Arc<GitHub>,
    ships: Vec<Ship>,
    redis: Option<Server>,
    store: String,
}

impl Fleet {
    /// Processes of these roles on a Redis that loses nothing.
    pub(crate) async fn on_redis(github: &Arc<GitHub>, roles: &[&'static str]) -> Self {
        let redis = Server::start(&[DURABLE, &["--maxmemory-policy", "noeviction"]].concat());
        let store = format!("redis://{}", redis.address());
        Self::set_out(github, roles, Some(redis), store).await
    }

    /// One process on SQLite.
    pub(crate) async fn on_sqlite(github: &Arc<GitHub>) -> Self {
        Self::set_out(github, &["all"], None, "sqlite:./jitgate-state/jitgate.db".to_owned()).await
    }

    /// One more process.
    pub(crate) async fn join(&mut self, role: &'static str) {
        self.ships.push(Ship {
            role,
            gate: None,
            ashore: Some(Place::new()),
        });
        self.launch(self.ships.len() - 1).await;
    }

    async fn set_out(github: &Arc<GitHub>, roles: &[&'static str], redis: Option<Server>, store: String) -> Self {
        let ship = |role: &&'static str| Ship {
            role,
            gate: None,
            ashore: Some(Place::new()),
        };
        let mut fleet = Self {
            github: github.clone(),
            ships: roles.iter().map(ship).collect(),
            redis,
            store,
        };
        for number in 0..fleet.ships.len() {
            fleet.launch(number).await;
        }
        fleet
    }

    /// What can be killed: every process, and the server behind them.
    pub(crate) fn size(&self) -> usize {
        self.ships.len() + usize::from(self.redis.is_some())
    }

    /// Kills one of them; gives its name.
    pub(crate) async fn sink(&mut self, number: usize) -> &'static str {
        let Some(ship) = self.ships.get_mut(number) else {
            self.redis().kill();
            return "redis";
        };
        ship.ashore = ship.gate.take().map(Gate::killed).or(ship.ashore.take());
        let instance = ship.ashore.as_ref().map(Place::instance).expect("a directory");
        let role = ship.role;
        self.tell_where();
        self.github.lose_runners_of(&instance).await;
        role
    }

    /// Starts again what was killed.
    pub(crate) async fn raise(&mut self, number: usize) {
        if number < self.ships.len() {
            self.launch(number).await;
        } else {
            self.redis().start_again();
        }
    }

    /// One of them, at random.
    pub(crate) fn any(&self, dice: &mut Dice) -> usize {
        dice.below(self.size())
    }

    /// The server.
    pub(crate) fn redis(&mut self) -> &mut Server {
        self.redis.as_mut().expect("a fleet on Redis")
    }

    /// A process that lives.
    pub(crate) fn gate(&self, number: usize) -> &Gate {
        self.ships[number].gate.as_ref().expect("it lives")
    }

    /// The same, to do something to it.
    pub(crate) fn gate_mut(&mut self, number: usize) -> &mut Gate {
        self.ships[number].gate.as_mut().expect("it lives")
    }

    async fn launch(&mut self, number: usize) {
        let ship = &mut self.ships[number];
        let place = ship.ashore.take().expect("a directory");
        let settings = [SETTINGS, &[("store.url", &self.store)]].concat();
        let gate = Gate::start_in(place, &self.github.url, &settings, &["--role", ship.role]).await;
        ship.gate = Some(gate);
        self.tell_where();
    }

    fn tell_where(&self) {
        let alive = self.ships.iter().filter_map(|ship| ship.gate.as_ref());
        let addresses = alive
            .map(|gate| gate.public.clone())
            .filter(|address| !address.is_empty());
        self.github.ingresses.send_replace(addresses.collect());
    }
}
