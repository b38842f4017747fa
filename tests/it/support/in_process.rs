//! A gate in the test's own process, with a simulated GitHub, synthetic runners and an ingress. The stage of a subject
//! adds its world and its verbs.

use super::command::{Answer, jitgate};
use super::payload::sign;
use super::world::noon;
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::events::worker;
use jitgate::app::pool::pass;
use jitgate::app::records::{self, InstanceRecord, OfflineRecord, RolloutRecord};
use jitgate::app::{Context, Ingest};
use jitgate::config::{self, Config, Credentials, FileSource, Sources};
use jitgate::domain::alert::Alert;
use jitgate::domain::rollout::Offline;
use jitgate::http::{Bind, Health, Running};
use jitgate::ports::{Clock, Ledger, Observer};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator, Tally};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The webhook secret.
pub(crate) const SECRET: &str = "hunter2-hunter2-hunter2";
/// A token that the simulated GitHub takes.
pub(crate) const TOKEN: &str = "sim-hunter2-hunter2";
pub(crate) const REPOSITORY: &str = "octo-org/chem-model";
pub(crate) const VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";

/// Stores that a living worker misses its slots since a minute before `recovered`, when it tried to recover them.
pub(crate) async fn miss_slots(
    ledger: &dyn Ledger,
    worker: &str,
    what: &str,
    recovered: DateTime<Utc>,
    retention: Duration,
) {
    let alive = InstanceRecord {
        place: "here".to_owned(),
        process: "1".to_owned(),
        beat: 0,
    };
    let missing = OfflineRecord {
        slots: Some(Offline {
            what: what.to_owned(),
            runners: Vec::new(),
            since: recovered - TimeDelta::seconds(60),
            recovery_attempted_at: Some(recovered),
        }),
        base: None,
    };
    let noted = records::update(ledger, worker, retention, |it| *it = Some(alive.clone())).await;
    noted.expect("the store answers");
    let noted = records::update(ledger, worker, retention, |it| *it = Some(missing.clone())).await;
    noted.expect("the store answers");
}

/// Everything that gates in this process need. The store stays open while it lives, as a serving process has it.
pub(crate) struct InProcess<C = ManualClock> {
    pub(crate) clock: Arc<C>,
    pub(crate) github: Client,
    pub(crate) simulator: Simulator,
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) host: Arc<SyntheticHost>,
    pub(crate) http: reqwest::Client,
    ingress: Option<Running>,
    folder: TempDir,
}

impl<C: Clock + 'static> InProcess<C> {
    /// With a configuration file, which commands read too, and a SQLite store beside it. `sections` follow the sections of
    /// the webhook, GitHub and the store.
    pub(crate) fn in_folder(clock: C, sections: &str) -> Self {
        let (clock, simulator) = github(clock);
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), TOKEN).expect("a file");
        fs::set_permissions(at("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let toml = format!(
            "[webhook]\nsecrets = [\"{SECRET}\"]\n
             [github]\napi_url = \"{}\"\ntoken_file = \"{}\"\n
             [store]\nurl = \"sqlite:{}\"\n{sections}",
            simulator.url(),
            at("token").display(),
            at("state/jitgate.db").display(),
        );
        fs::write(at("jitgate.toml"), toml).expect("a file");
        let loaded = config::load(Sources {
            file: FileSource::Path(at("jitgate.toml")),
            ..Sources::default()
        });
        Self::opened(clock, simulator, folder, loaded.expect("a configuration").config)
    }

    fn opened(clock: Arc<C>, simulator: Simulator, folder: TempDir, config: Config) -> Self {
        let http = reqwest::Client::new();
        Self {
            store: runtime::open_store(&config, clock.clone()).expect("a store"),
            host: Arc::new(SyntheticHost::new(http.clone(), clock.clone(), config.synthetic)),
            github: Client::new(simulator.url(), http.clone()),
            clock,
            simulator,
            config,
            http,
            ingress: None,
            folder,
        }
    }

    /// A gate on the store.
    pub(crate) fn gate(&self, instance: &str) -> Arc<Context> {
        self.gate_on(self.store.ledger.clone(), instance)
    }

    /// A gate with another view of the ledger.
    pub(crate) fn gate_on(&self, ledger: Arc<dyn Ledger>, instance: &str) -> Arc<Context> {
        self.gate_with(ledger, instance, Arc::new(()))
    }

    pub(crate) fn gate_with(
        &self,
        ledger: Arc<dyn Ledger>,
        instance: &str,
        observer: Arc<dyn Observer>,
    ) -> Arc<Context> {
        let store = Store {
            ledger,
            ..self.store.clone()
        };
        let time: Arc<dyn Clock> = self.clock.clone();
        runtime::build_context(&self.config, &time, &store, Some(self.host.clone()), instance, observer)
            .expect("a gate")
    }

    /// Opens the public listener of a gate.
    pub(crate) fn open_ingress(&mut self, gate: &Context) -> (Arc<Health>, Arc<Ingest>) {
        let health = runtime::health(gate);
        let listen = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let (ingress, ingest) = runtime::open_ingress(&self.config, gate, health.clone(), listen).expect("an ingress");
        self.ingress = Some(ingress);
        (health, ingest)
    }

    pub(crate) async fn close_ingress(&mut self) {
        if let Some(ingress) = self.ingress.take() {
            ingress.stop().await;
        }
    }

    /// The URL at which deliveries arrive.
    pub(crate) fn webhook_url(&self) -> String {
        let address = self.ingress.as_ref().and_then(Running::address).expect("an ingress");
        format!("http://{address}/webhooks/github")
    }

    /// Posts a signed event, and returns the status of the answer.
    pub(crate) async fn post_event(&self, guid: &str, event: &str, body: String) -> u16 {
        let request = self
            .http
            .post(self.webhook_url())
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", guid)
            .header("x-hub-signature-256", sign(SECRET, body.as_bytes()));
        request.body(body).send().await.expect("an answer").status().as_u16()
    }

    /// Delivers the event that GitHub would send about a job, and returns its payload.
    pub(crate) async fn deliver(&self, guid: &str, action: &str, job: u64) -> Value {
        let payload = self.github.render("workflow_job", action, job, None).await;
        let payload = payload.expect("a payload");
        let status = self.post_event(guid, "workflow_job", payload.to_string()).await;
        assert_eq!(status, 202);
        payload
    }

    /// Changes the world.
    pub(crate) async fn world(&self, change: Value) {
        self.github.apply(&change).await.expect("the simulator takes it");
    }

    pub(crate) async fn tally(&self) -> Tally {
        self.github.tally().await.expect("a tally")
    }

    /// The routing variable at GitHub.
    pub(crate) async fn variable(&self) -> String {
        self.tally().await.variables[VARIABLE].clone()
    }

    /// The record of the rollout.
    pub(crate) async fn record(&self) -> RolloutRecord {
        let record = records::load(self.store.ledger.as_ref(), REPOSITORY).await;
        record.expect("the store answers").unwrap_or_default()
    }

    pub(crate) async fn all_alerts(&self) -> Vec<Alert> {
        let alerts = records::all(self.store.ledger.as_ref()).await;
        alerts.expect("the store answers")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `jitgate` with the configuration of the folder.
    pub(crate) fn jitgate(&self, args: &[&str]) -> Answer {
        self.jitgate_with(args, &[])
    }

    /// The same, with settings from the environment.
    pub(crate) fn jitgate_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Answer {
        let mut command = jitgate(&[]);
        command.arg("--config").arg(self.path("jitgate.toml")).args(args);
        Answer::of(command.env("PATH", "/usr/bin:/bin").envs(settings.iter().copied()))
    }
}

impl InProcess {
    /// With a clock that only the test moves, a store in memory, and these settings by section.
    pub(crate) fn with(credentials: Credentials, settings: &Value) -> Self {
        let (clock, simulator) = github(ManualClock::at(noon()));
        let defaults = json!({
            "webhook": {"secrets": [SECRET]},
            "github": {"api_url": simulator.url()},
            "repositories": [{"full_name": REPOSITORY}],
            "store": {"url": "memory:"},
            "runners": {"host": "synthetic"},
            "rollout": {"mode": "enforce"},
            "server": {"http_workers": 1},
        });
        let config = configuration(&overlaid(defaults, settings), credentials);
        Self::opened(clock, simulator, TempDir::new().expect("a folder"), config)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

/// Starts a simulated GitHub with this clock.
fn github<C: Clock + 'static>(clock: C) -> (Arc<C>, Simulator) {
    let clock = Arc::new(clock);
    let simulator = Simulator::start(clock.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
    (clock, simulator)
}

/// The configuration with these settings by section.
pub(crate) fn configuration(settings: &Value, credentials: Credentials) -> Config {
    let loaded = config::load(Sources {
        overrides: settings.as_object().cloned().expect("an object"),
        ..Sources::default()
    });
    let mut config = loaded.expect("a configuration").config;
    config.github.credentials = credentials;
    config
}

/// Credentials of a person.
pub(crate) fn token() -> Credentials {
    Credentials::Token(SecretString::from(TOKEN))
}

/// Settings by section, with others over them.
pub(crate) fn overlaid(mut settings: Value, more: &Value) -> Value {
    for (section, values) in more.as_object().expect("sections") {
        for (key, value) in values.as_object().expect("keys") {
            settings[section][key] = value.clone();
        }
    }
    settings
}

/// Decides on the deliveries that are due.
pub(crate) async fn decide(gate: &Context) -> usize {
    let decided = worker::run_until_idle(gate, "test").await;
    decided.expect("the store answers")
}

/// Decides on the deliveries that are due, and runs a pass of the pool. Returns the number of things that happened.
pub(crate) async fn decide_and_serve(gate: &Context) -> usize {
    decide(gate).await + pass::run_once(gate).await.expect("the host answers")
}
