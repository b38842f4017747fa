//! What GitHub can answer to a request for a runner: each ends in one runner or in a clear denial, never in two.

use crate::gate::Settings;
use crate::stage::{Stage, needs, on_redis, world};
use serde_json::{Value, json};

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

const REFUSALS: [u16; 2] = [404, 422];

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_denial_with_an_alert_and_no_second_request() {
    for status in REFUSALS {
        a_refusal_is_a_denial(status, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_refusals_on_redis() {
    for status in REFUSALS {
        on_redis(async |store| a_refusal_is_a_denial(status, store).await).await;
    }
}

async fn a_refusal_is_a_denial(status: u16, store: Settings<'_>) {
    let stage = with_faults(json!([{"endpoint": "jit", "status": status}]), store).await;
    let story = stage
        .gate
        .ask_until("/api/v1/jobs/101", |story| story["service"] == "given_up")
        .await;
    let said = story["timeline"].to_string();
    assert!(said.contains("GitHub makes no runner for it"), "{said}");
    stage
        .gate
        .ask_until("/api/v1/status", |status| status["pool"]["quiet"] == true)
        .await;
    let tally = stage.github.tally().await.expect("a tally");
    assert_eq!((tally.minted, tally.calls["jit"]), (0, 1), "{status}");
    assert_eq!(
        stage.gate.alerts().await,
        ["job-stuck", "runner-boot-failure"],
        "{status}"
    );
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
