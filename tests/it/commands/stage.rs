//! A gate on a SQLite store with a simulated GitHub, and `jitgate` commands beside it.

pub(crate) use crate::support::command::Answer;
use crate::support::in_process::{InProcess, REPOSITORY, VARIABLE, decide_and_serve};
pub(crate) use crate::support::in_process::{SECRET, TOKEN};
use jitgate::adapters::clock::SystemClock;
use jitgate::app::Context;
use jitgate::http::{Metrics, Running};
use jitgate::ports::Clock;
use jitgate::runtime;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

/// The token of the admin API.
pub(crate) const ADMIN_TOKEN: &str = "hunter3-hunter3-hunter3";

/// Passes of the pool that are more than enough for a few jobs.
const PASSES: usize = 50;

/// A gate and its world.
pub(crate) struct Stage {
    base: InProcess<SystemClock>,
    pub(crate) gate: Arc<Context>,
    admin: Running,
}

impl Deref for Stage {
    type Target = InProcess<SystemClock>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Stage {
    /// With one trusted pull request, one of an outsider, and a queued job of each: 101 and 102.
    pub(crate) async fn set() -> Self {
        Self::set_with("").await
    }

    /// The same, with more configuration.
    pub(crate) async fn set_with(more: &str) -> Self {
        let sections = format!(
            "[server]\nadmin_listen = \"127.0.0.1:0\"\n[runners]\nhost = \"synthetic\"\n
             [rollout]\nmode = \"enforce\"\n[[repositories]]\nfull_name = \"{REPOSITORY}\"\n{more}"
        );
        let mut base = InProcess::in_folder(SystemClock, &sections);
        let metrics = Arc::new(Metrics::default());
        let gate = base.gate_with(base.store.ledger.clone(), "commands", metrics.clone());
        let (health, ingest) = base.open_ingress(&gate);
        let admin = runtime::open_admin(
            &base.config,
            gate.clone(),
            health,
            runtime::admin_bind(&base.config),
            Some(ingest),
            SecretString::from(ADMIN_TOKEN),
            metrics,
        );
        let stage = Self {
            base,
            gate,
            admin: admin.expect("an admin API"),
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
                "variables": {VARIABLE: "true"},
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

    /// Delivers a signed event that no worker can process: its run has no branch name.
    pub(crate) async fn post(&self, guid: &str, body: String) {
        assert_eq!(self.status_of(guid, body).await, 202);
    }

    /// Delivers something signed; gives the status.
    pub(crate) async fn status_of(&self, guid: &str, body: String) -> u16 {
        self.post_event(guid, "workflow_job", body).await
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
        let request = self.http.post(self.webhook_url()).header("x-github-event", event);
        let answer = request.header("x-github-delivery", "unsigned").body("{}").send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Works off what is due, deliveries and then the pool, until nothing is.
    pub(crate) async fn work(&self) {
        for _ in 0..PASSES {
            if decide_and_serve(&self.gate).await == 0 {
                return;
            }
        }
        panic!("the pool does not come to rest");
    }

    /// Takes what is due and gives up on it.
    pub(crate) async fn give_up(&self, cause: &str) {
        let queue = &self.store.queue;
        let leases = queue.claim("test", 10, Duration::from_secs(60)).await;
        for lease in leases.expect("the store answers") {
            queue.dead_letter(lease, cause).await.expect("the store answers");
        }
    }

    /// Has the store drop a body, as it does to make room.
    pub(crate) fn drop_body(&self, guid: &str) {
        let database = rusqlite::Connection::open(self.path("state/jitgate.db")).expect("the store");
        let dropped = "DELETE FROM bodies WHERE number = (SELECT number FROM deliveries WHERE id = ?1)";
        assert_eq!(database.execute(dropped, [guid]), Ok(1));
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

    /// An hour ago, as `--since` takes it.
    pub(crate) fn an_hour_ago() -> String {
        (SystemClock.now() - chrono::TimeDelta::hours(1)).to_rfc3339()
    }
}
