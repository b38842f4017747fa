//! A gate with the local host, and a GitHub that goes on by itself: what it tells is delivered, and jobs take their time.

use crate::support::gate::{Gate, Place, Settings};
use crate::support::payload::guid;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator, Tally};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

pub(crate) const RUNNER_PROGRAM: &str = include_str!("run.sh");
/// Nothing here takes longer unless it is broken.
const TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) struct Stage {
    pub(crate) gate: Gate,
    pub(crate) github: Client,
    settings: Vec<(String, String)>,
    told: Arc<AtomicUsize>,
    most_runners: Arc<AtomicU64>,
    task: Option<BackgroundTask>,
    simulator: Simulator,
}

impl Stage {
    /// A gate in a world, enforcing, with runners on this machine.
    pub(crate) async fn set(world: Value, settings: Settings<'_>) -> Self {
        Self::set_with(RUNNER_PROGRAM, world, settings).await
    }

    /// The same with another runner program.
    pub(crate) async fn set_with(program: &str, world: Value, settings: Settings<'_>) -> Self {
        Self::set_in(Place::new(), program, world, settings).await
    }

    /// The same in a directory that exists.
    pub(crate) async fn set_in(place: Place, program: &str, world: Value, settings: Settings<'_>) -> Self {
        let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let github = Client::new(simulator.url(), reqwest::Client::new());
        github.apply(&world).await.expect("a world");
        // The same script plays both, told apart by how it is started.
        for name in ["run.sh", "bin/Runner.Worker"] {
            place.file(&format!("runner-home/{name}"), program, 0o755);
        }
        let home = place.path("runner-home").display().to_string();
        let database = format!("sqlite:{}", place.path("jitgate.db").display());
        let mut all: Vec<(String, String)> = [
            ("runners.host", "local"),
            ("local.runner_home", &home),
            ("local.public_repositories", "true"),
            // The simulated GitHub is on this machine.
            ("local.network", "host"),
            ("store.url", &database),
            ("rollout.mode", "enforce"),
            ("runners.interval_s", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
        // As root this has to be said.
        let account = fs::metadata("/proc/self").expect("ourselves").uid();
        all.extend((account == 0).then(|| ("local.user".to_owned(), "root".to_owned())));
        overlay(&mut all, settings);
        let gate = Gate::start_in(place, simulator.url(), &borrowed(&all), &[]).await;
        Self {
            gate,
            github,
            settings: all,
            told: Arc::default(),
            most_runners: Arc::default(),
            task: None,
            simulator,
        }
    }

    /// Lets GitHub go on by itself from now on.
    pub(crate) fn go_on(&mut self) {
        self.task = None;
        let (github, http) = (self.github.clone(), self.gate.http.clone());
        let deliver = Deliver {
            url: self.gate.public.clone(),
            http,
            told: self.told.clone(),
        };
        let most = self.most_runners.clone();
        self.task = Some(BackgroundTask(tokio::spawn(async move {
            let mut often = interval(Duration::from_millis(20));
            loop {
                often.tick().await;
                let Ok(deliveries) = github.outbox().await else { return };
                for delivery in deliveries {
                    deliver.until_taken(&delivery.event, &delivery.payload).await;
                }
                let (Ok(_), Ok(tally)) = (github.settle().await, github.tally().await) else {
                    return;
                };
                most.fetch_max(tally.runners_left, Ordering::Relaxed);
            }
        })));
    }

    /// GitHub tells of a job.
    pub(crate) async fn deliver(&self, action: &str, job: u64) {
        let payload = self.github.render("workflow_job", action, job, None).await;
        self.deliver_payload(&payload.expect("a payload")).await;
    }

    /// GitHub tells what it had to tell before.
    pub(crate) async fn deliver_payload(&self, payload: &Value) {
        let deliver = Deliver {
            url: self.gate.public.clone(),
            http: self.gate.http.clone(),
            told: self.told.clone(),
        };
        deliver.until_taken("workflow_job", payload).await;
    }

    /// Kills the gate and starts it again on what it left behind.
    pub(crate) async fn kill_and_restart(self) -> Self {
        self.killed_and_restarted_with(&[]).await
    }

    /// The same, with other settings from then on.
    pub(crate) async fn killed_and_restarted_with(mut self, settings: Settings<'_>) -> Self {
        overlay(&mut self.settings, settings);
        let goes_on = self.task.take().is_some();
        let gate = Gate::start_in(self.gate.killed(), self.simulator.url(), &borrowed(&self.settings), &[]).await;
        let mut stage = Self { gate, ..self };
        if goes_on {
            stage.go_on();
        }
        stage
    }

    /// Kills the gate for good, and starts one on another machine: with other settings, and nothing that the first one left.
    pub(crate) async fn moved(mut self, settings: Settings<'_>) -> Self {
        overlay(&mut self.settings, settings);
        drop(self.gate.killed());
        let gate = Gate::start_in(Place::new(), self.simulator.url(), &borrowed(&self.settings), &[]).await;
        Self { gate, ..self }
    }

    /// Waits until the world is as wanted. It fails when nothing has changed for the whole timeout, because a crowd takes as
    /// long as the machine needs.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Tally) -> bool) -> Tally {
        let mut deadline = Instant::now() + TIMEOUT;
        let mut progress = None;
        // The tally of a crowd is large.
        let mut often = interval(Duration::from_millis(100));
        loop {
            often.tick().await;
            let tally = self.github.tally().await.expect("a tally");
            if wanted(&tally) {
                return tally;
            }
            let now = Some((tally.minted, tally.ran, tally.runners_left));
            if now != progress {
                progress = now;
                deadline = Instant::now() + TIMEOUT;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {tally:?}\n{}",
                self.gate.process.err.text()
            );
        }
    }

    /// Waits until every job is over and nothing of a runner is left: no record at GitHub, no directory, no process.
    pub(crate) async fn until_nothing_is_left(&self) -> Tally {
        self.until("jobs go on", |tally| {
            tally.jobs.values().all(|job| job.status == "completed") && tally.runners_left == 0
        })
        .await;
        let deadline = Instant::now() + TIMEOUT;
        let mut often = interval(Duration::from_millis(20));
        while !self.leftovers().is_empty() {
            often.tick().await;
            assert!(
                Instant::now() < deadline,
                "left over: {:?}\n{}",
                self.leftovers(),
                self.gate.process.err.text()
            );
        }
        self.github.tally().await.expect("a tally")
    }

    /// Returns the processes of runners that are left in this stage's directory.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let here = self.gate.place.path("").display().to_string();
        processes_in(&here)
    }

    /// Returns the number of processes in one slot, its setsid children included.
    pub(crate) fn leftovers_of(&self, slot: &str) -> usize {
        processes_in(&format!("/slots/{slot}")).len()
    }

    /// The most runner records that GitHub has had at a time.
    pub(crate) fn most_runners(&self) -> u64 {
        self.most_runners.load(Ordering::Relaxed)
    }

    /// The URL of the simulated GitHub.
    #[allow(dead_code, reason = "two test programs share this, and each uses a part of it")]
    pub(crate) fn github_url(&self) -> &str {
        self.simulator.url()
    }

    /// The story of a job.
    pub(crate) async fn story(&self, job: u64) -> Value {
        self.gate.ask(&format!("/api/v1/jobs/{job}")).await.body
    }
}

/// Stops when it is dropped.
struct BackgroundTask(JoinHandle<()>);

impl Drop for BackgroundTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn overlay(all: &mut Vec<(String, String)>, settings: Settings<'_>) {
    for (key, value) in settings {
        all.retain(|(known, _)| known != key);
        all.push(((*key).to_owned(), (*value).to_owned()));
    }
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Command lines of processes that work in a folder or below: it is on their command line, or among their mounts, which
/// is how processes in a slot are found.
fn processes_in(folder: &str) -> Vec<String> {
    let listed = fs::read_dir("/proc").expect("a list of processes");
    let read = |pid: &str, what: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    listed
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| read(pid, "cmdline").contains(folder) || read(pid, "mountinfo").contains(folder))
        .map(|pid| format!("{pid} {}", read(&pid, "cmdline")))
        .collect()
}

struct Deliver {
    url: String,
    http: reqwest::Client,
    told: Arc<AtomicUsize>,
}

impl Deliver {
    /// Posts until it is taken, under one GUID: what recovery does for deliveries that got lost.
    async fn until_taken(&self, event: &str, payload: &Value) {
        let guid = guid(self.told.fetch_add(1, Ordering::Relaxed));
        let body = payload.to_string();
        let mut often = interval(Duration::from_millis(50));
        loop {
            often.tick().await;
            let request = self
                .http
                .post(format!("http://{}/webhooks/github", self.url))
                .header("Content-Type", "application/json")
                .header("X-GitHub-Event", event)
                .header("X-GitHub-Delivery", &guid)
                .header(
                    "X-Hub-Signature-256",
                    crate::support::payload::sign(crate::support::gate::SECRET, body.as_bytes()),
                )
                .body(body.clone());
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
    }
}

/// Two members and an outsider; routing is on.
pub(crate) fn world(runs: Value, pulls: Value) -> Value {
    json!({
        "permissions": {"alice": "write", "bob": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "pulls": pulls,
        "runs": runs,
    })
}

/// Fails the test if a command is missing, and names its package.
pub(crate) fn needs(command: &str, package: &str) {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {command}")])
        .output();
    assert!(
        found.is_ok_and(|found| found.status.success()),
        "{command} is missing; install the Debian package {package}"
    );
}
