//! A gate with a clock that stands still, on a SQLite store, in front of a simulated GitHub. Its history is written as
//! measured runs, and passes of the rollout run on demand.

use crate::support::in_process::{InProcess, REPOSITORY, VARIABLE};
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use jitgate::adapters::clock::{ManualClock, SystemClock};
use jitgate::app::Context;
use jitgate::app::records::{self, MeasuredRecord, VerdictsRecord};
use jitgate::app::rollout::{pass, switch};
use jitgate::domain::alert::{Alert, AlertKind, AlertState};
use jitgate::domain::ids::{JobId, RunId};
use jitgate::domain::rollout::{Change, Changed, Lifecycle, MeasuredJob, MeasuredRun, Mismatch, Tally, WaitParts};
use jitgate::domain::routing::RoutingVerdict;
use jitgate::ports::Clock;
use jitgate::ports::github::Purpose;
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// The longest time from the event that completes a trigger to its effect.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Stage {
    base: InProcess,
    pub(crate) gate: Arc<Context>,
}

impl Deref for Stage {
    type Target = InProcess;

    fn deref(&self) -> &Self::Target {
        &self.base
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
        let now = SystemClock.now().trunc_subsecs(0);
        let sections = format!("[[repositories]]\nfull_name = \"{REPOSITORY}\"\n[rollout]\nmode = \"{mode}\"\n{more}");
        let base = InProcess::in_folder(ManualClock::at(now), &sections);
        let stage = Self {
            gate: base.gate("canary00"),
            base,
        };
        stage.switch("true").await;
        stage.advance(1);
        stage
    }

    /// Another gate on the same store.
    pub(crate) fn second_gate(&self) -> Arc<Context> {
        self.gate("canary01")
    }

    /// A person switches the variable at GitHub, and a decision sees it.
    pub(crate) async fn switch(&self, value: &str) {
        self.switch_unseen(value).await;
        self.look().await;
    }

    /// A person switches the variable at GitHub, and no decision sees it.
    pub(crate) async fn switch_unseen(&self, value: &str) {
        self.world(json!({"variables": {VARIABLE: value}})).await;
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

    /// Runs a pass of the rollout.
    pub(crate) async fn pass(&self) -> usize {
        pass::run_once(&self.gate).await
    }

    /// Starts the loop of passes.
    pub(crate) fn start_passes(&self) -> Passes {
        let (stop, stopped) = oneshot::channel();
        let gate = self.gate.clone();
        let running = tokio::spawn(async move {
            pass::run(&gate, async {
                drop(stopped.await);
            })
            .await;
        });
        Passes { stop, running }
    }

    /// Waits until routing is off.
    pub(crate) async fn off_in_time(&self) {
        let off = async {
            let mut often = interval(Duration::from_millis(50));
            while self.variable().await != "false" {
                often.tick().await;
            }
        };
        timeout(EFFECT_TIMEOUT, off).await.expect("routing is off in time");
    }

    /// The changes of this kind.
    pub(crate) async fn changes(&self, what: Changed) -> Vec<Change> {
        let history = self.record().await.history;
        history.into_iter().filter(|change| change.what == what).collect()
    }

    /// The alerts about a rollback that are not resolved.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let is_open = |alert: &Alert| alert.kind == AlertKind::Rollback && alert.state != AlertState::Resolved;
        self.all_alerts().await.into_iter().filter(is_open).collect()
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
        self.world(json!({"runs": [run]})).await;
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
        self.world(json!({"runs": [run]})).await;
    }

    /// Answers every question about a job with this status, as often as `times` says.
    pub(crate) async fn refuse_jobs(&self, status: u16, times: u32) {
        let fault = json!({"endpoint": "get-job", "status": status, "times": times});
        self.world(json!({"faults": [fault]})).await;
    }

    /// The number of questions about jobs so far.
    pub(crate) async fn asked_for_jobs(&self) -> u64 {
        let tally = self.tally().await;
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
}

/// The running loop of passes.
pub(crate) struct Passes {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Passes {
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.running.await.expect("it stops");
    }
}

fn time(at: DateTime<Utc>) -> Value {
    json!(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}
