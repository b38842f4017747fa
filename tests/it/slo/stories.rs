//! Single measurements and their consequences.

use super::stage::Stage;
use async_trait::async_trait;
use jitgate::domain::alert::{Alert, AlertKind, AlertState};
use jitgate::domain::ids::JobId;
use jitgate::domain::rollout::{Lifecycle, MeasuredRun};
use jitgate::domain::routing::RoutingVerdict;
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::{Failure, Ledger};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A ledger that loses the answer of the first change of one kind, after or before it is stored, and counts its writes.
struct Interrupted {
    inner: Arc<dyn Ledger>,
    kind: Kind,
    is_stored: bool,
    has_happened: AtomicBool,
    writes: Arc<AtomicU32>,
}

impl Interrupted {
    fn around(kind: Kind, is_stored: bool) -> impl FnOnce(Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        move |inner| {
            Arc::new(Self {
                inner,
                kind,
                is_stored,
                has_happened: AtomicBool::new(false),
                writes: Arc::default(),
            })
        }
    }
}

#[async_trait]
impl Ledger for Interrupted {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        if matches!(key.kind, Kind::MeasuredRun | Kind::Verdicts) {
            self.writes.fetch_add(1, Ordering::SeqCst);
        }
        if key.kind == self.kind && !self.has_happened.swap(true, Ordering::SeqCst) {
            if self.is_stored {
                self.inner.put(key, value, expected, keep).await?;
            }
            return Err(Failure::Transient("the answer is lost".to_owned()));
        }
        self.inner.put(key, value, expected, keep).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.inner.remove(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        self.inner.list(kind, after, limit).await
    }
}

fn only(runs: &[MeasuredRun]) -> &MeasuredRun {
    assert_eq!(runs.len(), 1, "{runs:?}");
    &runs[0]
}

async fn breaches(stage: &Stage) -> Vec<Alert> {
    let filter = jitgate::app::alerts::AlertFilter::default();
    let mut alerts = stage.gate.alerts.list(&filter, 50).await.expect("the store answers");
    alerts.retain(|alert| alert.kind == AlertKind::SloBreach);
    alerts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_measured_from_its_creation_to_the_removal_of_its_runner() {
    let mut stage = Stage::set("").await;
    stage.create(7, &[101], 15, &json!({})).await;
    stage.advance(4);
    stage.deliver("queued", 101).await;
    let runs = stage.refresh().await;
    assert_eq!(only(&runs).jobs[&JobId(101)].lifecycle, Lifecycle::Waiting);
    stage.advance(30);
    stage.work().await;
    stage.deliver("in_progress", 101).await;
    let runs = stage.refresh().await;
    assert_eq!(only(&runs).lifecycle(), Some(Lifecycle::Running));
    stage.finish(&[], 15).await;
    stage.deliver("completed", 101).await;
    stage.work().await;
    let runs = stage.refresh().await;
    let run = only(&runs);
    assert_eq!((run.lifecycle(), run.is_final()), (Some(Lifecycle::Success), true));
    let job = &run.jobs[&JobId(101)];
    assert_eq!(job.verdict, RoutingVerdict::Correct);
    let now = jitgate::ports::Clock::now(stage.gate.clock.as_ref());
    let wait = |excluded| run.queue_wait(now, excluded).map(|wait| wait.num_seconds());
    assert_eq!((wait(false), wait(true)), (Some(34), Some(30)));
    assert_eq!(run.setup_latency().map(|setup| setup.num_seconds()), Some(15));
    let parts = job.parts;
    assert_eq!(parts.delivery_lag_ms.map(|lag| lag / 1000), Some(4));
    assert_eq!(parts.slot_ms.map(|slot| slot / 1000), Some(30));
    assert!(
        parts.mint_ms.is_some() && parts.boot_ms.is_some() && parts.pickup_ms.is_some(),
        "{parts:?}"
    );
    assert_eq!(stage.refresh().await, runs, "nothing changes any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_measurement_is_neither_lost_nor_repeated() {
    for is_stored in [true, false] {
        let mut stage = Stage::set_on("", Interrupted::around(Kind::Verdicts, is_stored)).await;
        stage.hosted(30, 8, 201, "web").await;
        stage.advance(60);
        stage.decide().await;
        stage.deliver("completed", 201).await;
        let verdicts = stage.records("verdicts");
        assert_eq!(verdicts[0]["tally"], json!({"correct": 1, "wrong": 0}), "{verdicts:?}");

        let mut stage = Stage::set_on("", Interrupted::around(Kind::MeasuredRun, is_stored)).await;
        stage.create(7, &[101], 15, &json!({})).await;
        stage.deliver("queued", 101).await;
        stage.advance(60);
        stage.work().await;
        let runs = stage.refresh().await;
        assert_eq!(only(&runs).jobs.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_verdict_costs_no_write() {
    let writes = Arc::new(AtomicU32::new(0));
    let counted = writes.clone();
    let around = move |inner: Arc<dyn Ledger>| -> Arc<dyn Ledger> {
        Arc::new(Interrupted {
            inner,
            kind: Kind::Pin,
            is_stored: true,
            has_happened: AtomicBool::new(true),
            writes: counted,
        })
    };
    let mut stage = Stage::set_on("", around).await;
    stage.serve(7, &[101], 0, 0, 5).await;
    assert_eq!(writes.load(Ordering::SeqCst), 1, "the job is listed once");
    stage.hosted(30, 8, 201, "web").await;
    let over = json!({"id": 201, "status": "completed", "conclusion": "success"});
    stage.world(json!({"runs": [{"id": 30, "jobs": [over]}]})).await;
    stage.deliver("completed", 201).await;
    assert_eq!(writes.load(Ordering::SeqCst), 2, "the other job is counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accusation_outlives_the_variable_that_it_rests_on() {
    let mut stage = Stage::set("").await;
    stage.create(7, &[101], 5, &json!({"labels": ["ubuntu-latest"]})).await;
    stage.deliver("queued", 101).await;
    stage
        .world(json!({"variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "false"}}))
        .await;
    stage.advance(30);
    let over = json!({"id": 101, "status": "completed", "conclusion": "success"});
    stage.world(json!({"runs": [{"id": 70, "jobs": [over]}]})).await;
    stage.deliver("completed", 101).await;
    let runs = stage.refresh().await;
    let job = &only(&runs).jobs[&JobId(101)];
    assert_eq!(
        (job.verdict, job.lifecycle),
        (RoutingVerdict::NotRouted, Lifecycle::Elsewhere)
    );
    let verdicts = stage.records("verdicts");
    let mismatches = verdicts[0]["mismatches"].as_array().expect("a list");
    let noted: Vec<&Value> = mismatches.iter().map(|mismatch| &mismatch["job"]).collect();
    assert_eq!(noted, [101], "once");
    assert!(mismatches[0]["run_created_at"].is_string());
    assert_eq!(
        verdicts[0]["tally"],
        json!({"correct": 0, "wrong": 0}),
        "its run counts it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_is_reported_when_it_begins_and_when_it_is_over() {
    let mut stage = Stage::set("[slo]\nwindow = 2").await;
    stage.serve(7, &[101], 0, 200, 5).await;
    stage.refresh().await;
    assert_eq!(breaches(&stage).await.len(), 0, "one run is too little");
    let (code, text) = stage.slo(&[]);
    assert_eq!(code, 8, "{text}");
    stage.serve(9, &[102], 0, 190, 5).await;
    stage.refresh().await;
    stage.refresh().await;
    let alerts = breaches(&stage).await;
    let [alert] = alerts.as_slice() else {
        panic!("expected one alert: {alerts:?}");
    };
    assert_eq!(
        (alert.state, alert.count, alert.verdict.as_str()),
        (AlertState::Open, 1, "queue_wait_p95_s")
    );
    assert!(
        alert
            .summary
            .contains("queue_wait_p95_s is 200.000, above the target 120"),
        "{}",
        alert.summary
    );
    let (code, text) = stage.slo(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("101  70") && text.contains("queue wait 200 s, of which 200 s for a slot"),
        "{text}"
    );
    for (pull, job) in [(11, 103), (12, 104)] {
        stage.serve(pull, &[job], 0, 3, 5).await;
    }
    stage.refresh().await;
    assert_eq!(breaches(&stage).await[0].state, AlertState::Resolved);
    let (code, text) = stage.slo(&[]);
    assert_eq!(code, 0, "{text}");
    for (pull, job) in [(13, 105), (14, 106)] {
        stage.serve(pull, &[job], 0, 300, 5).await;
    }
    stage.refresh().await;
    let again = &breaches(&stage).await[0];
    assert_eq!((again.state, again.episode), (AlertState::Open, 2));
}
