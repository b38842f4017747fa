//! A gate on a SQLite store with a clock of its own, which keeps what was delivered to it.

use crate::support::in_process::{InProcess, REPOSITORY, decide, decide_and_serve};
use chrono::SubsecRound;
use jitgate::adapters::clock::{ManualClock, SystemClock};
use jitgate::app::Context;
use jitgate::app::rollout::{refresh, slo};
use jitgate::config::Synthetic;
use jitgate::domain::ids::RepositoryName;
use jitgate::domain::rollout::MeasuredRun;
use jitgate::ports::{Clock, Ledger};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;

/// The history begins so long before the present, which the command sees: nothing expires, and nothing is in the future.
const AGE: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// Passes of the pool that are more than enough for a few jobs.
const PASSES: usize = 50;

pub(crate) struct Stage {
    base: InProcess,
    pub(crate) gate: Arc<Context>,
    pub(crate) deliveries: Vec<Value>,
}

impl Deref for Stage {
    type Target = InProcess;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Stage {
    pub(crate) async fn set(more: &str) -> Self {
        Self::set_on(more, |ledger| ledger).await
    }

    /// With a ledger around that of the store.
    pub(crate) async fn set_on(more: &str, around: impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger>) -> Self {
        // GitHub's times have a resolution of one second.
        let start = (SystemClock.now() - AGE).trunc_subsecs(0);
        let sections = format!(
            "[runners]\nhost = \"synthetic\"\n[rollout]\nmode = \"observe\"\n
             [[repositories]]\nfull_name = \"{REPOSITORY}\"\n{more}"
        );
        let mut base = InProcess::in_folder(ManualClock::at(start), &sections);
        let gate = base.gate_on(around(base.store.ledger.clone()), "slo00000");
        base.open_ingress(&gate);
        let stage = Self {
            base,
            gate,
            deliveries: Vec::new(),
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

    /// So many of the next runners die before they connect.
    pub(crate) fn next_runners_die(&self, dying_starts: u32) {
        self.host.behave(Synthetic {
            dying_starts,
            ..Synthetic::default()
        });
    }

    /// Delivers what GitHub would say about a job, and works the delivery off.
    pub(crate) async fn deliver(&mut self, action: &str, job: u64) {
        let payload = self.base.deliver(&format!("{job}-{action}"), action, job).await;
        self.deliveries.push(json!({"at": self.now(), "payload": payload}));
        self.decide().await;
    }

    pub(crate) async fn decide(&self) {
        decide(&self.gate).await;
    }

    /// Works until the pool rests.
    pub(crate) async fn work(&self) {
        for _ in 0..PASSES {
            let settled = self.github.settle().await.expect("the simulator answers");
            if settled + decide_and_serve(&self.gate).await == 0 {
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
        let repository = RepositoryName::parse(REPOSITORY).expect("a name");
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
        let answer = self.jitgate(&[&["slo"], args].concat());
        (answer.code, answer.out)
    }

    /// Returns the stored records of a kind.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let path = self.path("state/jitgate.db");
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
