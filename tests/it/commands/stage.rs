//! A gate on a SQLite store with a simulated GitHub, and `jitgate` commands beside it.

use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::events::worker;
use jitgate::app::pool::pass;
use jitgate::app::{Context, signature};
use jitgate::config::{self, FileSource, Sources};
use jitgate::http::{Bind, Metrics, Running};
use jitgate::ports::{Clock, RunnerHost};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The webhook secret.
pub(crate) const SECRET: &str = "hunter2-hunter2-hunter2";
/// A token the simulated GitHub takes.
pub(crate) const TOKEN: &str = "sim-hunter2-hunter2";

/// The token of the admin API.
pub(crate) const ADMIN_TOKEN: &str = "hunter3-hunter3-hunter3";

/// Passes of the pool that are more than enough for a few jobs.
const PASSES: usize = 50;

/// A gate and its world. Its store is open for as long as it lives, as a serving process has it.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) gate: Arc<Context>,
    pub(crate) github: Client,
    store: Store,
    ingress: Running,
    admin: Running,
    _simulator: Simulator,
    http: reqwest::Client,
}

/// The result of a command.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

impl Stage {
    /// With one trusted pull request, one of an outsider, and a queued job of each: 101 and 102.
    pub(crate) async fn set() -> Self {
        Self::set_with("").await
    }

    /// The same, with more configuration.
    pub(crate) async fn set_with(more: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let simulator = Simulator::start(clock.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), TOKEN).expect("a file");
        fs::set_permissions(at("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let toml = format!(
            "[webhook]\nsecrets = [\"{SECRET}\"]\n
             [server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n
             [github]\napi_url = \"{}\"\ntoken_file = \"{}\"\n
             [store]\nurl = \"sqlite:{}\"\n
             [runners]\nhost = \"synthetic\"\n
             [rollout]\nmode = \"enforce\"\n
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
        let store = runtime::open_store(&config, clock.clone()).expect("a store");
        let http = reqwest::Client::new();
        let metrics = Arc::new(Metrics::default());
        let host: Arc<dyn RunnerHost> = Arc::new(SyntheticHost::new(http.clone(), clock.clone(), config.synthetic));
        let gate =
            runtime::build_context(&config, &clock, &store, Some(host), "commands", metrics.clone()).expect("a gate");
        let health = runtime::health(&gate);
        let listen = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let (ingress, ingest) = runtime::open_ingress(&config, &gate, health.clone(), listen).expect("an ingress");
        let token = SecretString::from(ADMIN_TOKEN);
        let admin = runtime::open_admin(
            &config,
            gate.clone(),
            health,
            runtime::admin_bind(&config),
            Some(ingest),
            token,
            metrics,
        )
        .expect("an admin API");
        let stage = Self {
            admin,
            github: Client::new(simulator.url(), http.clone()),
            folder,
            gate,
            store,
            ingress,
            _simulator: simulator,
            http,
        };
        stage
            .world(json!({
                "pulls": [
                    {"number": 7, "author": "alice"},
                    {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
                     "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
                ],
                "runs": [
                    {"id": 20, "pull": 7, "jobs": [{"id": 101, "name": "web", "duration_s": 3600}]},
                    {"id": 30, "pull": 8, "jobs": [{"id": 102, "name": "\u{1b}[31mweb"}]},
                ],
                "permissions": {"alice": "write"},
                "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            }))
            .await;
        stage
    }

    /// With four jobs that run on runners of ours, 201 to 204, and 205, which waits: more there may not be.
    pub(crate) async fn with_a_full_pool() -> Self {
        let stage = Self::set().await;
        let over = |run: u64, job: u64| json!({"id": run, "jobs": [{"id": job, "status": "completed"}]});
        stage.world(json!({"runs": [over(20, 101), over(30, 102)]})).await;
        for job in 201..=205 {
            let queued = json!({"id": job, "name": "e2e", "duration_s": 3600});
            stage
                .world(json!({"runs": [{"id": 40, "pull": 7, "jobs": [queued]}]}))
                .await;
            stage.deliver(&format!("guid-{job}"), "queued", job).await;
            stage.work().await;
        }
        stage
    }

    /// Changes the world.
    pub(crate) async fn world(&self, change: Value) {
        self.github.apply(&change).await.expect("the simulator takes it");
    }

    /// Delivers what GitHub would say about a job.
    pub(crate) async fn deliver(&self, guid: &str, action: &str, job: u64) {
        let payload = self.github.render("workflow_job", action, job, None).await;
        self.post(guid, payload.expect("a payload").to_string()).await;
    }

    /// Delivers a signed event that no worker can process: its run has no branch name.
    pub(crate) async fn post(&self, guid: &str, body: String) {
        assert_eq!(self.status_of(guid, body).await, 202);
    }

    /// Delivers something signed; gives the status.
    pub(crate) async fn status_of(&self, guid: &str, body: String) -> u16 {
        let url = format!("http://{}/webhooks/github", self.ingress.address().expect("an address"));
        let signature = signature::sign(&SecretString::from(SECRET), body.as_bytes());
        let request = self
            .http
            .post(url)
            .body(body)
            .header("content-type", "application/json");
        let request = request
            .header("x-github-event", "workflow_job")
            .header("x-github-delivery", guid);
        let answer = request.header("x-hub-signature-256", signature).send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Asks the admin API; gives status and body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        self.ask_as(path, ADMIN_TOKEN).await
    }

    pub(crate) async fn ask_as(&self, path: &str, token: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin.address().expect("an address"));
        let answer = self.http.get(url).bearer_auth(token).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    pub(crate) async fn ask_json(&self, path: &str) -> Value {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Posts something unsigned about an event; gives the status.
    pub(crate) async fn post_unsigned(&self, event: &str) -> u16 {
        let url = format!("http://{}/webhooks/github", self.ingress.address().expect("an address"));
        let request = self.http.post(url).header("x-github-event", event);
        let answer = request.header("x-github-delivery", "unsigned").body("{}").send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Works off what is due, deliveries and then the pool, until nothing is.
    pub(crate) async fn work(&self) {
        for _ in 0..PASSES {
            worker::run_until_idle(&self.gate, "test")
                .await
                .expect("the store answers");
            if pass::run_once(&self.gate).await.expect("the host answers") == 0 {
                return;
            }
        }
        panic!("the pool does not come to rest");
    }

    /// Takes what is due and gives up on it.
    pub(crate) async fn give_up(&self, cause: &str) {
        let leases = self
            .store
            .queue
            .claim("test", 10, std::time::Duration::from_secs(60))
            .await;
        for lease in leases.expect("the store answers") {
            self.store
                .queue
                .dead_letter(lease, cause)
                .await
                .expect("the store answers");
        }
    }

    /// Has the store drop a body, as it does to make room.
    pub(crate) fn drop_body(&self, guid: &str) {
        let database = rusqlite::Connection::open(self.path("state/jitgate.db")).expect("the store");
        let dropped = "DELETE FROM bodies WHERE number = (SELECT number FROM deliveries WHERE id = ?1)";
        assert_eq!(database.execute(dropped, [guid]), Ok(1));
    }

    /// Runs `jitgate` with this stage's configuration.
    pub(crate) fn jitgate(&self, args: &[&str]) -> Answer {
        self.jitgate_with(args, &[])
    }

    /// The same, with settings from the environment.
    pub(crate) fn jitgate_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .arg("--config")
            .arg(self.folder.path().join("jitgate.toml"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(settings.iter().copied())
            .output()
            .expect("jitgate runs");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Returns the address of the admin API.
    pub(crate) fn admin_address(&self) -> String {
        self.admin.address().expect("a port").to_string()
    }

    /// Writes a program.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An hour ago, as `--since` takes it.
    pub(crate) fn an_hour_ago() -> String {
        (SystemClock.now() - chrono::TimeDelta::hours(1)).to_rfc3339()
    }
}
