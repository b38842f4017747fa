//! A state directory, a simulated GitHub, and the commands of `pool`.

use crate::support::command::Answer;
use crate::support::gate::{Gate, Place, Process, Settings, TIMEOUT, often};
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) github: Client,
    pub(crate) settings: Vec<(String, String)>,
    simulator: Simulator,
}

impl Stage {
    /// A pool with simulated slots, on SQLite unless the settings name another store.
    pub(crate) async fn set(store: Settings<'_>) -> Self {
        let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let github = Client::new(simulator.url(), reqwest::Client::new());
        let world = json!({
            "permissions": {"alice": "write"},
            "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            "pulls": [{"number": 7, "author": "alice"}],
        });
        github.apply(&world).await.expect("a world");
        let place = Place::new();
        let database = format!("sqlite:{}", place.path("jitgate.db").display());
        let mut settings = vec![
            ("github.api_url".to_owned(), simulator.url().to_owned()),
            ("store.url".to_owned(), database),
            ("runners.interval_s".to_owned(), "1".to_owned()),
            ("rollout.mode".to_owned(), "enforce".to_owned()),
        ];
        for (key, value) in store {
            settings.retain(|(known, _)| known != key);
            settings.push(((*key).to_owned(), (*value).to_owned()));
        }
        Self {
            place,
            github,
            settings,
            simulator,
        }
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        let settings = self.settings.iter();
        settings.map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// Starts a command.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        self.place.start(args, &self.settings())
    }

    /// Starts `pool supervise` and waits until it is up.
    pub(crate) async fn supervise(&self, more: &[&str]) -> Process {
        let mut process = self.start(&[&["pool", "supervise"], more].concat());
        process.err.line_with(" is up\"").await;
        process
    }

    /// Starts `serve` in the place of this stage, which it takes.
    pub(crate) async fn serve(self, args: &[&str]) -> (Gate, Rest) {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let gate = Gate::start_in(self.place, self.simulator.url(), &settings, args).await;
        let rest = Rest {
            github: self.github,
            settings: self.settings,
            simulator: self.simulator,
        };
        (gate, rest)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Answer {
        run(&self.place, &self.settings(), args).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.run(&["pool", "status", "--json"]).await.json()
    }

    /// Waits until `pool status` shows what is wanted.
    pub(crate) async fn status_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        status_until(async || self.status().await, wanted).await
    }
}

/// What is left of a stage beside a gate in its place.
pub(crate) struct Rest {
    pub(crate) github: Client,
    settings: Vec<(String, String)>,
    simulator: Simulator,
}

impl Rest {
    /// Runs a command beside the gate.
    pub(crate) async fn run(&self, gate: &Gate, args: &[&str]) -> Answer {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        run(&gate.place, &settings, args).await
    }

    pub(crate) async fn status_until(&self, gate: &Gate, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = async || self.run(gate, &["pool", "status", "--json"]).await.json();
        status_until(status, wanted).await
    }

    /// Returns to a stage without the gate.
    pub(crate) fn with(self, place: Place) -> Stage {
        Stage {
            place,
            github: self.github,
            settings: self.settings,
            simulator: self.simulator,
        }
    }
}

async fn run(place: &Place, settings: Settings<'_>, args: &[&str]) -> Answer {
    let mut process = place.start(args, settings);
    let code = process.code().await.expect("no signal");
    Answer {
        code,
        out: process.out.text(),
        err: process.err.text(),
    }
}

async fn status_until(status: impl AsyncFn() -> Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    let mut often = often();
    loop {
        often.tick().await;
        let shown = status().await;
        if wanted(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "the pool stays {shown:#}");
    }
}

/// Returns the values of a key in each row.
pub(crate) fn each<'a>(rows: &'a Value, key: &str) -> Vec<&'a Value> {
    rows.as_array().expect("a list").iter().map(|row| &row[key]).collect()
}

/// Returns true if the slots have these places and are all in this state.
pub(crate) fn has_slots(status: &Value, places: &[u64], state: &str) -> bool {
    each(&status["slots"], "index") == places && each(&status["slots"], "state").iter().all(|it| *it == state)
}

/// Returns the steps as words.
pub(crate) fn steps(status: &Value) -> Vec<String> {
    let steps = status["operations"].as_array().expect("a list").iter();
    steps
        .map(|step| {
            let name = step["runner"].as_str().unwrap_or("-");
            format!("{} {name}", step["action"].as_str().expect("a word"))
        })
        .collect()
}
