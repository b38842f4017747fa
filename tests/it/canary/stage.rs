//! A gate with a clock that stands still, on a SQLite store, in front of a simulated GitHub. Its history is written as
//! measured runs, and passes of the rollout run on demand.

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use jitgate::adapters::clock::{ManualClock, SystemClock};
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::Context;
use jitgate::app::records::{self, MeasuredRecord, RolloutRecord, VerdictsRecord};
use jitgate::app::rollout::{pass, switch};
use jitgate::config::{self, Config, FileSource, Sources};
use jitgate::domain::alert::{Alert, AlertKind, AlertState};
use jitgate::domain::ids::{JobId, RunId};
use jitgate::domain::rollout::{Change, Changed, Lifecycle, MeasuredJob, MeasuredRun, Mismatch, Tally, WaitParts};
use jitgate::domain::routing::RoutingVerdict;
use jitgate::ports::github::Purpose;
use jitgate::ports::{Clock, RunnerHost};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";
/// The most alerts that are read.
const MAX_ALERTS: usize = 100;

pub(crate) struct Stage {
    pub(crate) gate: Arc<Context>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) github: Client,
    pub(crate) store: Store,
    config: Config,
    folder: TempDir,
    _simulator: Simulator,
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
    /// A gate in this mode that has seen routing on, without slots of its own.
    pub(crate) async fn set(mode: &str) -> Self {
        Self::set_with(mode, "[runners]\nhost = \"synthetic\"\nmin = 0\n").await
    }

    /// The same with more configuration.
    pub(crate) async fn set_with(mode: &str, more: &str) -> Self {
        // Commands in processes of their own have the system's clock.
        let clock = Arc::new(ManualClock::at(SystemClock.now().trunc_subsecs(0)));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), "sim-token").expect("a file");
        fs::set_permissions(at("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let toml = format!(
            "[webhook]\nsecrets = [\"hunter2-hunter2-hunter2\"]\n
             [github]\napi_url = \"{}\"\ntoken_file = \"{}\"\n
             [store]\nurl = \"sqlite:{}\"\n
             [[repositories]]\nfull_name = \"octo-org/chem-model\"\n
             [rollout]\nmode = \"{mode}\"\n{more}",
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
        let store = runtime::open_store(&config, time.clone()).expect("a store");
        let stage = Self {
            gate: gate(&config, &time, &store, "canary00"),
            github: Client::new(simulator.url(), reqwest::Client::new()),
            clock,
            store,
            config,
            folder,
            _simulator: simulator,
        };
        stage.switch("true").await;
        stage.advance(1);
        stage
    }

    /// Another gate on the same store.
    pub(crate) fn second_gate(&self) -> Arc<Context> {
        let time: Arc<dyn Clock> = self.clock.clone();
        gate(&self.config, &time, &self.store, "canary01")
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// A person switches the variable at GitHub, and a decision sees it.
    pub(crate) async fn switch(&self, value: &str) {
        self.switch_unseen(value).await;
        self.look().await;
    }

    /// A decision sees the variable.
    pub(crate) async fn look(&self) {
        let repository = &self.gate.settings.repositories[0];
        let (name, variable) = (&repository.name, &repository.variable);
        let shown = self.gate.github.variable(name, variable, Purpose::Admit).await;
        let seen = switch::seen(shown.expect("an answer").as_ref(), self.now());
        let (ledger, settings) = (self.gate.ledger.as_ref(), &self.gate.settings);
        let (retention, stages) = (settings.retention, &settings.rollout.stages);
        switch::note_in(ledger, retention, repository, seen, stages, self.now())
            .await
            .expect("the store answers");
    }

    /// A person switches the variable at GitHub, and no decision sees it.
    pub(crate) async fn switch_unseen(&self, value: &str) {
        let applied = self.github.apply(&json!({"variables": {VARIABLE: value}})).await;
        applied.expect("the simulator takes it");
    }

    /// The variable at GitHub.
    pub(crate) async fn variable(&self) -> String {
        let tally = self.github.tally().await.expect("a tally");
        tally.variables[VARIABLE].clone()
    }

    /// Runs a pass of the rollout.
    pub(crate) async fn pass(&self) -> usize {
        pass::run_once(&self.gate).await
    }

    pub(crate) async fn record(&self) -> RolloutRecord {
        let name = self.gate.settings.repositories[0].name.as_str();
        let record = records::load(self.gate.ledger.as_ref(), name).await;
        record.expect("the store answers").unwrap_or_default()
    }

    /// The changes of this kind.
    pub(crate) async fn changes(&self, what: Changed) -> Vec<Change> {
        let history = self.record().await.history;
        history.into_iter().filter(|change| change.what == what).collect()
    }

    /// The alerts about a rollback that are not resolved.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let alerts: Vec<Alert> = records::list(self.gate.ledger.as_ref(), MAX_ALERTS)
            .await
            .expect("the store answers");
        let is_open = |alert: &Alert| alert.kind == AlertKind::Rollback && alert.state != AlertState::Resolved;
        alerts.into_iter().filter(is_open).collect()
    }

    /// A trusted pull request whose run waits `wait_s` and then succeeds.
    pub(crate) async fn ran(&self, pull_request: u64, wait_s: i64) {
        self.reported(pull_request, wait_s, wait_s).await;
    }

    /// The same, but its deliveries report another wait than GitHub.
    pub(crate) async fn reported(&self, pull_request: u64, reported_s: i64, real_s: i64) {
        self.at_github(
            pull_request,
            json!({"runner_id": 9, "started_at": time(self.now() + TimeDelta::seconds(real_s))}),
        )
        .await;
        self.measured(pull_request, Lifecycle::Success, Some(reported_s)).await;
    }

    /// The job of a pull request is over at GitHub.
    async fn at_github(&self, pull_request: u64, mut job: Value) {
        job["id"] = json!(pull_request * 100 + 1);
        job["status"] = json!("completed");
        let run = json!({"id": pull_request * 100, "created_at": time(self.now()), "jobs": [job]});
        let applied = self.github.apply(&json!({"runs": [run]})).await;
        applied.expect("the simulator takes it");
    }

    /// A trusted pull request whose runner does not boot.
    pub(crate) async fn failed_to_boot(&self, pull_request: u64) {
        self.at_github(pull_request, json!({})).await;
        self.measured(pull_request, Lifecycle::BootFailed, None).await;
    }

    /// GitHub knows the job of a pull request, or does not.
    pub(crate) async fn exists(&self, pull_request: u64, exists: bool) {
        let job = json!({"id": pull_request * 100 + 1, "deleted": !exists});
        let run = json!({"id": pull_request * 100, "jobs": [job]});
        let applied = self.github.apply(&json!({"runs": [run]})).await;
        applied.expect("the simulator takes it");
    }

    /// Answers every question about a job with this status, as often as `times` says.
    pub(crate) async fn refuse_jobs(&self, status: u16, times: u32) {
        let fault = json!({"endpoint": "get-job", "status": status, "times": times});
        let applied = self.github.apply(&json!({"faults": [fault]})).await;
        applied.expect("the simulator takes it");
    }

    /// The number of questions about jobs so far.
    pub(crate) async fn asked_for_jobs(&self) -> u64 {
        let tally = self.github.tally().await.expect("a tally");
        tally.calls.get("get-job").copied().unwrap_or_default()
    }

    async fn measured(&self, pull_request: u64, lifecycle: Lifecycle, wait_s: Option<i64>) {
        let created_at = self.now();
        let job = MeasuredJob {
            verdict: RoutingVerdict::Correct,
            created_at: Some(created_at),
            started_at: wait_s.map(|wait| created_at + TimeDelta::seconds(wait)),
            ended_at: Some(created_at + TimeDelta::seconds(900)),
            parts: WaitParts::default(),
            setup_ms: wait_s.map(|_| 10_000),
            lifecycle,
            live: None,
        };
        let run = MeasuredRun {
            run: RunId(pull_request * 100),
            attempt: 1,
            pull_request,
            created_at,
            jobs: [(JobId(pull_request * 100 + 1), job)].into(),
            tally_before: Tally::default(),
        };
        let name = &self.gate.settings.repositories[0].name;
        let id = MeasuredRecord::id(name, created_at, run.run, run.attempt);
        let retention = self.gate.settings.retention;
        records::update(self.gate.ledger.as_ref(), &id, retention, |record| {
            *record = Some(MeasuredRecord(run.clone()));
        })
        .await
        .expect("the store answers");
    }

    /// A job of a pull request was routed to the wrong runners.
    pub(crate) async fn mismatched(&self, pull_request: u64, verdict: RoutingVerdict) {
        let mismatch = Mismatch {
            job: JobId(pull_request * 100 + 1),
            run: RunId(pull_request * 100),
            pull_request: Some(pull_request),
            verdict,
            run_created_at: Some(self.now()),
            at: self.now(),
        };
        let name = self.gate.settings.repositories[0].name.as_str();
        let retention = self.gate.settings.retention;
        records::update(
            self.gate.ledger.as_ref(),
            name,
            retention,
            |record: &mut Option<VerdictsRecord>| {
                record.get_or_insert_default().note(mismatch.clone());
            },
        )
        .await
        .expect("the store answers");
    }

    /// Counts successful pull requests, with a pass after each.
    pub(crate) async fn count(&self, pull_requests: impl IntoIterator<Item = u64>) {
        for pull_request in pull_requests {
            self.ran(pull_request, 5).await;
            self.pass().await;
            self.advance(1);
        }
    }

    /// Runs `jitgate` with this stage's configuration.
    pub(crate) fn jitgate(&self, args: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .arg("--config")
            .arg(self.folder.path().join("jitgate.toml"))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("jitgate runs");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn time(at: DateTime<Utc>) -> Value {
    json!(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn gate(config: &Config, time: &Arc<dyn Clock>, store: &Store, instance: &str) -> Arc<Context> {
    let host: Arc<dyn RunnerHost> = Arc::new(SyntheticHost::new(
        reqwest::Client::new(),
        time.clone(),
        config.synthetic,
    ));
    runtime::build_context(config, time, store, Some(host), instance, Arc::new(())).expect("a gate")
}
