//! The assignment of runners to jobs, when events and workers meet at the worst moment.

mod interleaved;

use crate::commands::stage::Stage;
use async_trait::async_trait;
use chrono::TimeDelta;
use jitgate::app::Context;
use jitgate::app::events::worker;
use jitgate::app::records::{self, JobRecord, RunnerRecord};
use jitgate::domain::ids::JobId;
use jitgate::domain::job::Service;
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::{Event, Failure, Ledger, Observer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The runners of jobs 101, 201 and 301.
const OF_101: &str = "chem-jit-commands-101-1";
const OF_201: &str = "chem-jit-commands-201-1";
const OF_301: &str = "chem-jit-commands-301-1";

/// Jobs 101 and 201, each with a runner that starts and has no job yet.
async fn two_jobs_with_runners() -> Stage {
    jobs_with_runners(&[101, 201]).await
}

async fn jobs_with_runners(jobs: &[u64]) -> Stage {
    let stage = Stage::set_with("[synthetic]\nstart_s = 3600").await;
    for job in jobs.iter().filter(|job| **job != 101) {
        change_job(&stage, json!({"id": job, "name": "e2e"})).await;
    }
    for job in jobs.iter().copied() {
        stage.deliver(&format!("queued-{job}"), "queued", job).await;
    }
    stage.work().await;
    stage
}

async fn change_job(stage: &Stage, job: Value) {
    stage.world(json!({"runs": [{"id": 20, "jobs": [job]}]})).await;
}

async fn runner(stage: &Stage, name: &str) -> RunnerRecord {
    let record = records::load(stage.gate.ledger.as_ref(), name).await;
    record.expect("the store answers").expect("a runner")
}

/// GitHub has job 101 run on a runner, and delivers that.
async fn start_101_on(stage: &Stage, name: &str) {
    start_on(stage, 101, name).await;
}

async fn start_on(stage: &Stage, job: u64, name: &str) {
    let id = runner(stage, name).await.id.expect("an id").0;
    let running = json!({"id": job, "status": "in_progress", "runner_id": id, "runner_name": name});
    change_job(stage, running).await;
    stage.deliver(&format!("running-{job}"), "in_progress", job).await;
}

/// As far as the ledger knows, GitHub gave the runner of job 101 to another job.
async fn note_taken(stage: &Stage, by: Option<JobId>) {
    let (ledger, retention) = (stage.gate.ledger.as_ref(), stage.gate.settings.retention);
    let taken = records::change(ledger, OF_101, retention, |runner: &mut RunnerRecord| {
        runner.taken_by = by
    });
    taken.await.expect("the store answers").expect("a runner");
}

async fn job_record(stage: &Stage, id: u64) -> JobRecord {
    let record = records::load(stage.gate.ledger.as_ref(), &id.to_string()).await;
    record.expect("the store answers").expect("a job")
}

/// Job 101 takes the runner of job 201 after a third job was given the runner of job 101, as far as the ledger knows. Returns
/// the runner that job 201 has then.
async fn swap_while_taken_by(third: Option<JobId>) -> Option<String> {
    let stage = two_jobs_with_runners().await;
    note_taken(&stage, third).await;
    start_101_on(&stage, OF_201).await;
    worker::run_until_idle(&stage.gate, "test")
        .await
        .expect("the store answers");

    assert_eq!(runner(&stage, OF_201).await.job, JobId(101));
    let job = job_record(&stage, 201).await;
    let expected = job
        .runner
        .as_ref()
        .map_or((Service::Wanted, JobId(101)), |_| (Service::Serving, JobId(201)));
    assert_eq!((job.service, runner(&stage, OF_101).await.job), expected);
    job.runner
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_hands_over_no_runner_of_another_size() {
    let stage = Stage::set_with("[synthetic]\nstart_s = 3600\n[[qemu.sizes]]\nlabel = \"large\"").await;
    let labels = ["self-hosted", "linux", "x64", "chem-trusted-pr", "large"];
    change_job(&stage, json!({"id": 201, "name": "e2e", "labels": labels})).await;
    for job in [101, 201] {
        stage.deliver(&format!("queued-{job}"), "queued", job).await;
    }
    stage.work().await;
    assert_eq!(runner(&stage, OF_101).await.size, None);
    assert_eq!(runner(&stage, OF_201).await.size.as_deref(), Some("large"));
    // The runner of the large job has every label of the other one.
    start_101_on(&stage, OF_201).await;
    worker::run_until_idle(&stage.gate, "test")
        .await
        .expect("the store answers");
    let job = job_record(&stage, 201).await;
    assert_eq!(
        (job.service, job.runner),
        (Service::Wanted, None),
        "GitHub would give it no small runner"
    );
    assert_eq!(runner(&stage, OF_101).await.job, JobId(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_hands_over_a_spare_runner_only_if_no_third_job_has_it() {
    assert_eq!(swap_while_taken_by(None).await.as_deref(), Some(OF_101));
    assert_eq!(swap_while_taken_by(Some(JobId(999))).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_jobs_that_take_each_others_runners_need_no_fourth_one() {
    let jobs = [101, 201, 301];
    // Events come in any order: the one about job 301 can be half processed when the first one comes.
    for is_noted in [false, true] {
        let stage = jobs_with_runners(&jobs).await;
        note_taken(&stage, is_noted.then_some(JobId(301))).await;
        for (job, runner) in [(101, OF_201), (301, OF_101), (201, OF_301)] {
            start_on(&stage, job, runner).await;
            worker::run_until_idle(&stage.gate, "test")
                .await
                .expect("the store answers");
            for id in jobs {
                let job = job_record(&stage, id).await;
                assert_eq!(
                    (job.service, job.mints),
                    (Service::Serving, 1),
                    "{is_noted}, {id}: {job:?}"
                );
            }
        }
        for (id, on) in [(101, OF_201), (301, OF_101), (201, OF_301)] {
            assert_eq!(job_record(&stage, id).await.runner.as_deref(), Some(on));
            assert_eq!(runner(&stage, on).await.job, JobId(id));
        }
    }
}

/// A runner has been starting for a while.
async fn age(stage: &Stage, name: &str) {
    let (ledger, retention) = (stage.gate.ledger.as_ref(), stage.gate.settings.retention);
    let aged = records::change(ledger, name, retention, |runner: &mut RunnerRecord| {
        for entered in &mut runner.history {
            entered.at -= TimeDelta::seconds(10);
        }
    });
    aged.await.expect("the store answers").expect("a runner");
}

/// A ledger in which the first change of a runner comes too late: another worker has just removed that runner.
struct Overtaken {
    inner: Arc<dyn Ledger>,
    has_happened: AtomicBool,
}

#[async_trait]
impl Ledger for Overtaken {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        if key.kind == Kind::Runner && !self.has_happened.swap(true, Ordering::SeqCst) {
            self.inner.remove(key).await?;
            return Ok(Put::Conflict);
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

#[derive(Default)]
struct PickUps(AtomicU32);

impl Observer for PickUps {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::RunnerPickedUp { .. }) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The same worker with another ledger and another observer.
fn with(gate: &Context, ledger: Arc<dyn Ledger>, observer: Arc<dyn Observer>) -> Context {
    Context {
        queue: gate.queue.clone(),
        ledger,
        github: gate.github.clone(),
        credentials: gate.credentials.clone(),
        host: gate.host.clone(),
        alerts: gate.alerts.clone(),
        observer,
        clock: gate.clock.clone(),
        settings: gate.settings.clone(),
        github_cache: Default::default(),
        budget: Default::default(),
        looks: Default::default(),
        tallies: Default::default(),
        rollout_woken: Default::default(),
        pool: Default::default(),
        recovery: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pick_up_is_counted_only_if_it_is_stored() {
    for (is_overtaken, counted) in [(false, 1), (true, 0)] {
        let stage = two_jobs_with_runners().await;
        start_101_on(&stage, OF_101).await;
        let ledger = Arc::new(Overtaken {
            inner: stage.gate.ledger.clone(),
            has_happened: AtomicBool::new(!is_overtaken),
        });
        let pick_ups = Arc::new(PickUps::default());
        let worker = with(&stage.gate, ledger.clone(), pick_ups.clone());
        worker::run_until_idle(&worker, "test")
            .await
            .expect("the store answers");
        assert!(ledger.has_happened.load(Ordering::SeqCst));
        assert_eq!(pick_ups.0.load(Ordering::SeqCst), counted, "overtaken: {is_overtaken}");
    }
}
