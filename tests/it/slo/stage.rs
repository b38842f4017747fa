//! A gate on a SQLite store with a clock of its own, which keeps what was delivered to it.

use crate::commands::stage::{SECRET, TOKEN};
use chrono::SubsecRound;
use jitgate::adapters::clock::{ManualClock, SystemClock};
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::events::worker;
use jitgate::app::pool::pass;
use jitgate::app::rollout::{refresh, slo};
use jitgate::app::{Context, signature};
use jitgate::config::{self, FileSource, Sources, Synthetic};
use jitgate::domain::ids::RepositoryName;
use jitgate::domain::rollout::MeasuredRun;
use jitgate::http::{Bind, Running};
use jitgate::ports::{Clock, Ledger, RunnerHost};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator};
use rusqlite::{Connection, OpenFlags};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The history begins so long before the present, which the command sees: nothing expires, and nothing is in the future.
const AGE: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// Passes of the pool that are more than enough for a few jobs.
const PASSES: usize = 50;

pub(crate) struct Stage {
    pub(crate) gate: Arc<Context>,
    pub(crate) github: Client,
    pub(crate) deliveries: Vec<Value>,
    clock: Arc<ManualClock>,
    host: Arc<SyntheticHost>,
    folder: TempDir,
    ingress: Running,
    _simulator: Simulator,
    http: reqwest::Client,
}

impl Stage {
    pub(crate) async fn set(more: &str) -> Self {
        Self::set_on(more, |ledger| ledger).await
    }

    /// With a ledger around that of the store.
    pub(crate) async fn set_on(more: &str, around: impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger>) -> Self {
        // GitHub's times have a resolution of one second.
        let clock = Arc::new(ManualClock::at((SystemClock.now() - AGE).trunc_subsecs(0)));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), TOKEN).expect("a file");
        fs::set_permissions(at("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let toml = format!(
            "[webhook]\nsecrets = [\"{SECRET}\"]\n[github]\napi_url = \"{}\"\ntoken_file = \"{}\"\n\
             [store]\nurl = \"sqlite:{}\"\n[runners]\nhost = \"synthetic\"\n[rollout]\nmode = \"observe\"\n\
             [[repositories]]\nfull_name = \"octo-org/chem-model\"\n{more}",
            simulator.url(),
            at("token").display(),
            at("state/jitgate.db").display(),
        );
        fs::write(at("jitgate.toml"), toml).expect("a file");
        let loaded = config::load(Sources {
            file: FileSource::Path(at("jitgate.toml")),
            ..Sources::default()
        });
        let config = loaded.expect("a configuration").config;
        let opened = runtime::open_store(&config, time.clone()).expect("a store");
        let store = Store {
            ledger: around(opened.ledger.clone()),
            ..opened
        };
        let http = reqwest::Client::new();
        let host = Arc::new(SyntheticHost::new(http.clone(), time.clone(), config.synthetic));
        let on: Arc<dyn RunnerHost> = host.clone();
        let gate = runtime::build_context(&config, &time, &store, Some(on), "slo00000", Arc::new(())).expect("a gate");
        let listen = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let (ingress, _) = runtime::open_ingress(&config, &gate, runtime::health(&gate), listen).expect("an ingress");
        let stage = Self {
            github: Client::new(simulator.url(), http.clone()),
            gate,
            deliveries: Vec::new(),
            clock,
            host,
            folder,
            ingress,
            _simulator: simulator,
            http,
        };
        stage
            .world(json!({
                "pulls": [{"number": 8, "author": "mallory", "association": "NONE",
                           "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}}],
                "permissions": {"alice": "write"},
                "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
                "rate_limit": {"limit": 1_000_000, "remaining": 1_000_000},
            }))
            .await;
        // Routing was switched on long before the first run.
        stage.advance(600);
        stage
    }

    pub(crate) async fn world(&self, change: Value) {
        self.github.apply(&change).await.expect("the simulator takes it");
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(chrono::TimeDelta::seconds(seconds));
    }

    /// So many of the next runners die before they connect.
    pub(crate) fn next_runners_die(&self, dying_starts: u32) {
        self.host.behave(Synthetic {
            dying_starts,
            ..Synthetic::default()
        });
    }

    /// Delivers what GitHub would say about a job, and works the delivery off.
    pub(crate) async fn deliver(&mut self, action: &str, job: u64) {
        let payload = self.github.render("workflow_job", action, job, None).await;
        let payload = payload.expect("a payload");
        let body = payload.to_string();
        let guid = format!("{job}-{action}");
        self.deliveries
            .push(json!({"at": self.clock.now(), "payload": payload}));
        let url = format!("http://{}/webhooks/github", self.ingress.address().expect("an address"));
        let signature = signature::sign(&SecretString::from(SECRET), body.as_bytes());
        let request = self.http.post(url).header("content-type", "application/json");
        let request = request.header("x-github-event", "workflow_job");
        let request = request.header("x-github-delivery", guid).body(body);
        let answer = request.header("x-hub-signature-256", signature).send().await;
        assert_eq!(answer.expect("an answer").status().as_u16(), 202);
        self.decide().await;
    }

    pub(crate) async fn decide(&self) {
        let worked = worker::run_until_idle(&self.gate, "test").await;
        worked.expect("the store answers");
    }

    /// Works until the pool rests.
    pub(crate) async fn work(&self) {
        for _ in 0..PASSES {
            let settled = self.github.settle().await.expect("the simulator answers");
            self.decide().await;
            let done = pass::run_once(&self.gate).await.expect("the host answers");
            if settled + done == 0 {
                return;
            }
        }
        panic!("the pool does not come to rest");
    }

    /// A trusted run with one job: created, delivered after `lag` seconds, started after `wait` more, and done.
    pub(crate) async fn serve(&mut self, pull: u64, jobs: &[u64], lag: i64, wait: i64, setup: u64) {
        self.create(pull, jobs, setup, &json!({})).await;
        self.advance(lag);
        for job in jobs {
            self.deliver("queued", *job).await;
        }
        self.advance(wait);
        self.work().await;
        self.finish(jobs, setup).await;
    }

    /// Creates the run of a pull request with jobs that run for as long as their setup takes, and one second more.
    pub(crate) async fn create(&self, pull: u64, jobs: &[u64], setup: u64, more: &Value) {
        let job = |id: &u64| {
            let mut job =
                json!({"id": id, "duration_s": setup + 1, "setup_s": setup, "steps": ["Set up job", "Run make"]});
            for (key, value) in more.as_object().expect("an object") {
                job[key] = value.clone();
            }
            job
        };
        let jobs: Vec<Value> = jobs.iter().map(job).collect();
        self.world(json!({
            "pulls": [{"number": pull, "author": "alice"}],
            "runs": [{"id": pull * 10, "pull": pull, "jobs": jobs}],
        }))
        .await;
    }

    /// Has started jobs run to their end.
    pub(crate) async fn finish(&mut self, jobs: &[u64], setup: u64) {
        for job in jobs {
            self.deliver("in_progress", *job).await;
        }
        self.work().await;
        self.advance(i64::try_from(setup).expect("small") + 1);
        self.work().await;
        for job in jobs {
            self.deliver("completed", *job).await;
        }
        self.work().await;
    }

    /// A job on hosted runners: of the outsider, or of a pull request.
    pub(crate) async fn hosted(&mut self, run: u64, pull: u64, job: u64, name: &str) {
        let queued = json!({"id": job, "name": name, "labels": ["ubuntu-latest"]});
        self.world(json!({"runs": [{"id": run, "pull": pull, "jobs": [queued]}]}))
            .await;
        self.deliver("queued", job).await;
    }

    /// Refreshes the measured runs and checks the service levels, as a pass of the rollout does.
    pub(crate) async fn refresh(&self) -> Vec<MeasuredRun> {
        let repository = RepositoryName::parse("octo-org/chem-model").expect("a name");
        let runs = refresh::refresh(&self.gate, &repository)
            .await
            .expect("the store answers");
        slo::check(&self.gate, &repository, &runs)
            .await
            .expect("the store answers");
        runs
    }

    /// Runs `jitgate slo` and returns its exit code and stdout.
    pub(crate) fn slo(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .arg("--config")
            .arg(self.folder.path().join("jitgate.toml"))
            .arg("slo")
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("jitgate runs");
        let text = String::from_utf8(output.stdout).expect("text");
        (output.status.code().expect("an exit code"), text)
    }

    /// Returns the stored records of a kind.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let path = self.folder.path().join("state/jitgate.db");
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store");
        let mut select = database
            .prepare("SELECT value FROM records WHERE kind = ?1")
            .expect("the statement is right");
        let rows = select
            .query_map([kind], |row| row.get::<_, String>(0))
            .expect("it is asked");
        let record = |text: String| serde_json::from_str(&text).expect("JSON");
        rows.map(|row| record(row.expect("a row"))).collect()
    }
}
