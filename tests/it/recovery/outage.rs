//! The gate was down: 500 deliveries and 100 queued jobs arrive at GitHub meanwhile.

use super::stage::Stage;
use jitgate::app::recovery::log::{self, LogOptions};
use jitgate::app::recovery::poll::{self, PollOptions};
use serde_json::{Value, json};

/// Runs of the outage; each has 2 jobs for the pool and 8 hosted ones.
const RUNS: u64 = 50;
const POOL_JOBS: u64 = 2;
const HOSTED_JOBS: u64 = 8;
/// Steps of 2 s to 3 s in which everything is caught up.
const STEPS: usize = 1500;
/// Steps of a window in which GitHub refuses every call, or none.
const WINDOW_STEPS: usize = 8;
/// Steps between two polls.
const POLL_STEPS: usize = 5;

fn runs() -> Vec<Value> {
    let job = |run: u64, number: u64| {
        let id = run * 100 + number;
        match number < POOL_JOBS {
            true => json!({"id": id, "name": "web", "created_at": "now"}),
            false => json!({"id": id, "name": "changes", "labels": ["ubuntu-latest"], "created_at": "now"}),
        }
    };
    let run = |run: u64| {
        let jobs: Vec<Value> = (0..POOL_JOBS + HOSTED_JOBS).map(|number| job(run, number)).collect();
        json!({"id": run, "pull": 7, "jobs": jobs})
    };
    (1000..1000 + RUNS).map(run).collect()
}

/// Takes the gate down for two hours, in which everything happens, and lets it catch up. GitHub refuses every call in
/// every second window if `refuses`.
async fn caught_up(refuses: bool) -> Stage {
    let mut stage = Stage::new().await;
    stage.recover().await;
    stage.go_down().await;
    stage.advance(60);
    stage.world(json!({"announces": true, "runs": runs()})).await;
    stage.advance(2 * 3600);
    stage.come_up().await;
    for step in 0..STEPS {
        if refuses && step % WINDOW_STEPS == 0 {
            let times = if (step / WINDOW_STEPS).is_multiple_of(2) {
                1_000_000
            } else {
                0
            };
            let fault = json!({"endpoint": "*", "status": 429, "headers": {"retry-after": "5"}, "times": times});
            stage.world(json!({"faults": [fault]})).await;
        }
        // A rate limit interrupts a pass; the next one continues.
        let log = log::pass(&stage.gate, LogOptions::default(), &|_| {}).await;
        stage.advance(1);
        let happened = stage.round().await;
        stage.advance(1);
        if step % POLL_STEPS == 0 {
            let polled = poll::pass(&stage.gate, PollOptions::default(), &|_| {}).await;
            stage.advance(1);
            let is_complete =
                log.is_ok_and(|log| log.missed == 0) && polled.is_ok_and(|polled| polled.synthesized == 0);
            if is_complete && happened == 0 && is_over(&stage).await {
                return stage;
            }
        }
    }
    let tally = stage.tally().await;
    panic!(
        "not caught up: {} made, {} ran, {} left",
        tally.minted, tally.ran, tally.runners_left
    );
}

async fn is_over(stage: &Stage) -> bool {
    let tally = stage.tally().await;
    tally.runners_left == 0 && tally.minted == RUNS * POOL_JOBS && tally.ran == RUNS * POOL_JOBS
}

async fn each_job_has_one_runner_and_each_delivery_was_asked_for_once(stage: &Stage) {
    let tally = stage.tally().await;
    assert_eq!((tally.minted, tally.ran, tally.runners_left), (100, 100, 0));
    let redeliveries = stage.redeliveries().await;
    let missed: Vec<usize> = redeliveries.values().copied().filter(|count| *count > 0).collect();
    assert_eq!((missed.len(), missed.iter().max()), (500, Some(&1)));
    // What happened after the outage was delivered by itself.
    assert_eq!(redeliveries.len(), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_served_once_and_every_delivery_asked_for_once() {
    let stage = caught_up(false).await;
    each_job_has_one_runner_and_each_delivery_was_asked_for_once(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_with_a_github_that_answers_429_half_the_time() {
    let stage = caught_up(true).await;
    stage.world(json!({"faults": [{"endpoint": "*", "times": 0}]})).await;
    each_job_has_one_runner_and_each_delivery_was_asked_for_once(&stage).await;
}
