//! Jobs that request a size of slots, through the simulated GitHub.

use super::stage::Stage;
use jitgate::domain::slot::Slot;
use jitgate::ports::RunnerHost;
use serde_json::{Value, json};

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
