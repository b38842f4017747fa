//! What GitHub can answer to a request for a runner: each ends in one runner or in a clear denial, never in two.

use super::stage::{Stage, needs, on_redis, world};
use crate::support::gate::Settings;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

async fn with_faults(faults: Value, store: Settings<'_>) -> Stage {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}]});
    let mut stage = Stage::set(world(json!([run]), json!([{"number": 7}])), store).await;
    stage.github.apply(&json!({"faults": faults})).await.expect("faults");
    stage.deliver("queued", 101).await;
    stage.go_on();
    stage
}

/// What happens to a request, and how many runners are made in the end.
fn faults() -> [(Value, u64); 7] {
    [
        (json!({"drop": "after"}), 2),
        (json!({"drop": "before"}), 1),
        (json!({"status": 409}), 1),
        (json!({"status": 503}), 1),
        // More often than a runner may fail: it is GitHub that fails here.
        (json!({"status": 500, "times": 4}), 1),
        (json!({"status": 429, "headers": {"retry-after": "2"}}), 1),
        (json!({"malformed": true}), 1),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_gets_lost_or_limited_the_job_has_one_runner_in_the_end() {
    for (fault, made) in faults() {
        a_fault_costs_no_job(fault, made, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_faults_on_redis() {
    for (fault, made) in faults() {
        on_redis(async |store| a_fault_costs_no_job(fault, made, store).await).await;
    }
}

async fn a_fault_costs_no_job(mut fault: Value, made: u64, store: Settings<'_>) {
    fault["endpoint"] = json!("jit");
    let stage = with_faults(json!([fault]), store).await;
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&101].ran, "{fault}: {tally:?}");
    assert_eq!((tally.minted, tally.ran), (made, 1), "{fault}");
    assert!(stage.most_runners() <= 2, "{fault}");
    let is_closed = |story: &Value| story["service"] == "closed";
    stage.gate.ask_until("/api/v1/jobs/101", is_closed).await;
}

/// What passes within seconds at GitHub: a token, a permission or a group that is not known everywhere yet, and a page that
/// is not GitHub's.
fn refusals() -> [Value; 5] {
    [
        json!({"status": 401, "times": 2}),
        json!({"status": 403, "message": "Resource not accessible by integration"}),
        json!({"status": 404}),
        json!({"status": 422}),
        json!({"status": 404, "page": true}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passes_costs_no_job_its_runner() {
    for refusal in refusals() {
        a_refusal_costs_no_job(refusal, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passes_costs_no_job_its_runner_on_redis() {
    for refusal in refusals() {
        on_redis(async |store| a_refusal_costs_no_job(refusal, store).await).await;
    }
}

async fn a_refusal_costs_no_job(refusal: Value, store: Settings<'_>) {
    let mut fault = refusal.clone();
    fault["endpoint"] = json!("jit");
    let stage = with_faults(json!([fault]), store).await;
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran), (1, 1), "{refusal}");
    assert_eq!(stage.gate.alerts().await, [""; 0], "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_program_that_dies_at_once_does_not_use_up_all_attempts_at_once() {
    needs("bwrap", "bubblewrap");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}]});
    let dies = "#!/bin/bash\nexit 1\n";
    let mut stage = Stage::set_with(dies, world(json!([run]), json!([{"number": 7}])), &[]).await;
    stage.deliver("queued", 101).await;
    stage.go_on();
    stage.until("there is a first runner", |tally| tally.minted == 1).await;
    let first = Instant::now();
    stage.until("there is a second one", |tally| tally.minted == 2).await;
    let apart = first.elapsed();
    assert!(apart > Duration::from_secs(10), "the next one came {apart:?} later");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_has_one_runner_however_often_it_is_told_of() {
    told_of_often_it_has_one_runner(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_repetitions_on_redis() {
    on_redis(told_of_often_it_has_one_runner).await;
}

async fn told_of_often_it_has_one_runner(store: Settings<'_>) {
    needs("bwrap", "bubblewrap");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "duration_s": 2}]});
    let mut stage = Stage::set(world(json!([run]), json!([{"number": 7}])), store).await;
    for _ in 0..10 {
        stage.deliver("queued", 101).await;
    }
    stage.go_on();
    stage
        .until("the job runs", |tally| tally.jobs[&101].status == "in_progress")
        .await;
    for action in ["queued", "waiting", "queued", "in_progress"] {
        stage.deliver(action, 101).await;
    }
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran, tally.calls["jit"]), (1, 1, 1));
}
