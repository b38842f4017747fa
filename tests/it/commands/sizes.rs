//! Jobs that request a size of slots, through the simulated GitHub.

use super::stage::Stage;
use crate::support::in_process::{decide, decide_and_serve};
use async_trait::async_trait;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::hosts::synthetic::SyntheticHost;
use jitgate::app::Context;
use jitgate::config::{self, Config, FileSource, Sources};
use jitgate::domain::slot::{Remains, Slot, SlotId, SlotSize};
use jitgate::ports::{Clock, Failure, RunnerHost};
use jitgate::runtime;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

/// Passes of the pool that are more than enough for a few jobs.
const PASSES: usize = 50;

/// A stage without other jobs: GitHub would give one without a size to a runner with one.
async fn stage_with_sizes() -> Stage {
    let stage = Stage::set_with("[[qemu.sizes]]\nlabel = \"large\"\ncpus = 8").await;
    let over = |run: u64, job: u64| json!({"id": run, "jobs": [{"id": job, "status": "completed"}]});
    stage.world(json!({"runs": [over(20, 101), over(30, 102)]})).await;
    stage
}

/// Changes a job, which has the labels of the pool and these.
async fn change_job(stage: &Stage, id: u64, more: &[&str], change: Value) {
    let labels = [&["self-hosted", "linux", "x64", "chem-trusted-pr"], more].concat();
    let mut job = json!({"id": id, "name": "train", "labels": labels, "duration_s": 3600});
    let change = change.as_object().expect("a table").clone();
    job.as_object_mut().expect("a table").extend(change);
    stage
        .world(json!({"runs": [{"id": 20, "pull": 7, "jobs": [job]}]}))
        .await;
}

async fn queue(stage: &Stage, id: u64, more: &[&str]) {
    change_job(stage, id, more, json!({})).await;
    stage.deliver(&format!("queued-{id}"), "queued", id).await;
}

/// Lets a running job end by itself, with its runner.
async fn end(stage: &Stage, id: u64, more: &[&str]) {
    change_job(stage, id, more, json!({"duration_s": 0})).await;
    stage.github.settle().await.expect("the simulator settles");
    stage.deliver(&format!("completed-{id}"), "completed", id).await;
}

async fn slots(stage: &Stage) -> Vec<Slot> {
    stage.host.list().await.expect("slots")
}

/// Returns the number of slots of the size, with and without a runner.
async fn count(stage: &Stage, size: Option<&str>) -> (usize, usize) {
    let slots = slots(stage).await;
    let sized = slots.iter().filter(|slot| slot.size.as_deref() == size);
    let (taken, idle): (Vec<&Slot>, Vec<&Slot>) = sized.partition(|slot| slot.runner.is_some());
    (taken.len(), idle.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_size_runs_in_a_slot_of_this_size() {
    let stage = stage_with_sizes().await;
    stage.work().await;
    assert_eq!(count(&stage, None).await, (0, 4), "the target has the default size");
    assert_eq!(count(&stage, Some("large")).await, (0, 0));

    queue(&stage, 301, &["Large"]).await;
    stage.work().await;
    assert_eq!(count(&stage, Some("large")).await, (1, 0));
    assert_eq!(count(&stage, None).await, (0, 3), "one idle slot has made room");
    assert_eq!(stage.tally().await.jobs[&301].status, "in_progress");

    queue(&stage, 302, &[]).await;
    stage.work().await;
    assert_eq!(count(&stage, None).await, (1, 2));
    let told = stage.jitgate(&["why", "301"]).out;
    assert!(told.contains(", size large"), "{told}");
    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    let sizes = listed["runners"].as_array().expect("a list").iter();
    let sizes: Vec<(&Value, &Value)> = sizes.map(|runner| (&runner["job"], &runner["size"])).collect();
    assert!(sizes.contains(&(&json!(301), &json!("large"))), "{sizes:?}");
    assert!(sizes.contains(&(&json!(302), &Value::Null)), "{sizes:?}");
    let told = stage.jitgate(&["runner", "list"]).out;
    assert!(told.contains("  301  large  "), "{told}");

    end(&stage, 301, &["Large"]).await;
    stage.work().await;
    assert_eq!(count(&stage, Some("large")).await, (0, 0), "a slot is used once");
    assert_eq!(
        count(&stage, None).await,
        (1, 3),
        "the idle slots have the default size again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_a_slot_of_its_size_while_all_slots_are_in_use() {
    let stage = stage_with_sizes().await;
    for id in 301..=304 {
        queue(&stage, id, &[]).await;
    }
    stage.work().await;
    queue(&stage, 305, &["large"]).await;
    stage.work().await;
    queue(&stage, 306, &[]).await;
    stage.work().await;
    assert_eq!((count(&stage, None).await, slots(&stage).await.len()), ((4, 0), 4));
    let told = stage.jitgate(&["why", "305"]).out;
    assert!(told.contains("a free slot of size large"), "{told}");
    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    assert_eq!(listed["waiting"][0]["size"], "large", "{listed:#}");

    for (done, large, default) in [(301, 1, 3), (302, 1, 3)] {
        end(&stage, done, &[]).await;
        stage.work().await;
        let counts = (count(&stage, Some("large")).await, count(&stage, None).await);
        let told = stage.jitgate(&["why", "306"]).out;
        assert_eq!(counts, ((large, 0), (default, 0)), "after job {done}: {told}");
        assert_eq!(stage.tally().await.jobs[&305].status, "in_progress", "it was first");
    }
    assert_eq!(stage.tally().await.jobs[&306].status, "in_progress");
}

/// A host on which no slot of another size than the default one boots.
struct SmallHost(Arc<SyntheticHost>);

#[async_trait]
impl RunnerHost for SmallHost {
    async fn boot(&self, size: SlotSize) -> Result<SlotId, Failure> {
        match size {
            None => self.0.boot(None).await,
            Some(size) => Err(Failure::Permanent(format!("size {size} does not boot"))),
        }
    }

    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        self.0.claim(slot, runner, config).await
    }

    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure> {
        self.0.open_gate(slot).await
    }

    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure> {
        self.0.destroy(slot).await
    }

    async fn remains(&self, slot: &SlotId) -> Result<Remains, Failure> {
        self.0.remains(slot).await
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        self.0.list().await
    }

    async fn changed(&self) {
        self.0.changed().await;
    }
}

/// A gate on the store of a stage, with this configuration and a host that boots the default size alone.
fn gate(stage: &Stage, config: &Config, clock: Arc<dyn Clock>) -> Arc<Context> {
    let host = Arc::new(SmallHost(stage.host.clone()));
    runtime::build_context(config, &clock, &stage.store, Some(host), "commands", Arc::new(())).expect("a gate")
}

/// Works off what is due, until nothing is.
async fn work_on(gate: &Context) {
    for _ in 0..PASSES {
        if decide_and_serve(gate).await == 0 {
            return;
        }
    }
    panic!("the pool does not come to rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_does_not_boot_takes_no_place_from_other_jobs() {
    let stage = stage_with_sizes().await;
    let gate = gate(&stage, &stage.config, stage.clock.clone());
    // As many as there are places, and all of them before the other job.
    for id in 301..=304 {
        queue(&stage, id, &["large"]).await;
    }
    queue(&stage, 305, &[]).await;
    work_on(&gate).await;
    let tally = stage.tally().await;
    assert_eq!(tally.jobs[&305].status, "in_progress", "{tally:?}");
    assert_eq!(tally.jobs[&301].status, "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_size_is_gone_is_decided_on_again_before_it_gets_a_runner() {
    let stage = stage_with_sizes().await;
    // A decision of this moment is not made again without a reason.
    let clock = Arc::new(ManualClock::at(stage.clock.now()));
    queue(&stage, 301, &["large"]).await;
    decide(&gate(&stage, &stage.config, clock.clone())).await;
    let told = stage.jitgate(&["why", "301"]).out;
    assert!(told.contains("a free slot of size large"), "{told}");
    // The next process has no such size, so the job has a label that no runner of it has.
    let file = stage.path("jitgate.toml");
    let toml = fs::read_to_string(&file).expect("a configuration");
    let toml = toml.split("[[qemu.sizes]]").next().expect("the beginning");
    fs::write(&file, toml).expect("written");
    let loaded = config::load(Sources {
        file: FileSource::Path(file),
        ..Sources::default()
    });
    let config = loaded.expect("a configuration").config;
    let gate = gate(&stage, &config, clock);
    work_on(&gate).await;
    let tally = stage.tally().await;
    assert_eq!(
        (tally.minted, tally.jobs[&301].status.as_str()),
        (0, "queued"),
        "{tally:?}"
    );
    let told = stage.jitgate(&["why", "301"]).out;
    assert!(told.contains("gets no runner"), "{told}");
}
