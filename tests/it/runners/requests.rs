//! The answers of GitHub to a request for a runner: each ends in one runner or in a clear denial, never in two.

use super::stage::{Stage, needs, world};
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
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

on_each_store!(a_lost_or_limited_request_still_ends_in_one_runner:
    answer_lost = (json!({"drop": "after"}), 2);
    request_lost = (json!({"drop": "before"}), 1);
    conflict = (json!({"status": 409}), 1);
    unavailable = (json!({"status": 503}), 1);
    // More often than a runner may fail: it is GitHub that fails here.
    server_error = (json!({"status": 500, "times": 4}), 1);
    rate_limited = (json!({"status": 429, "headers": {"retry-after": "2"}}), 1);
    malformed = (json!({"malformed": true}), 1);
);

async fn a_lost_or_limited_request_still_ends_in_one_runner(store: Settings<'_>, (mut fault, made): (Value, u64)) {
    fault["endpoint"] = json!("jit");
    let stage = with_faults(json!([fault]), store).await;
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&101].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (made, 1));
    assert!(stage.most_runners() <= 2);
    let is_closed = |story: &Value| story["service"] == "closed";
    stage.gate.ask_until("/api/v1/jobs/101", is_closed).await;
}

// GitHub gives these answers for seconds: to a token, a permission or a group that is not known everywhere yet.
on_each_store!(a_refusal_that_passes_costs_no_job_its_runner:
    unauthorized = json!({"status": 401, "times": 2});
    forbidden = json!({"status": 403, "message": "Resource not accessible by integration"});
    not_found = json!({"status": 404});
    unprocessable = json!({"status": 422});
    page_of_a_proxy = json!({"status": 404, "page": true});
);

async fn a_refusal_that_passes_costs_no_job_its_runner(store: Settings<'_>, mut refusal: Value) {
    refusal["endpoint"] = json!("jit");
    let stage = with_faults(json!([refusal]), store).await;
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran), (1, 1));
    assert_eq!(stage.gate.alerts().await, [""; 0]);
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

on_each_store!(repeated_deliveries_of_one_job_make_one_runner);

async fn repeated_deliveries_of_one_job_make_one_runner(store: Settings<'_>) {
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
