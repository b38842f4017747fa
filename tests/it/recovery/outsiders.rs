//! Outsiders start as many runs as they like: their runs neither use up the quota nor delay the runs of members.

use super::stage::Stage;
use jitgate::app::recovery::passes;
use jitgate::app::recovery::poll::{self, PollOptions, PollReport};
use serde_json::{Value, json};

/// The shortest interval between two polls, in seconds.
const INTERVAL: i64 = 10;
/// Polls of one minute.
const POLLS: usize = 6;
/// Maximum number of calls that the polls of one minute make about runs of outsiders: 3 in each poll.
const MAX_CALLS: u64 = 18;
/// The calls of these polls that list runs: one for each state.
const LIST_CALLS: u64 = 12;

/// A gate with an outsider's pull request from a fork.
async fn with_a_fork() -> Stage {
    let stage = Stage::new().await;
    let head = json!({"repository": "mallory/chem-model", "branch": "main", "sha": "evil"});
    stage
        .world(json!({"pulls": [{"number": 8, "author": "mallory", "association": "NONE", "head": head}]}))
        .await;
    stage
}

/// Adds runs of the fork, one job each. The jobs are hosted, or the outsider writes the labels of the pool.
async fn add_runs(stage: &Stage, runs: std::ops::Range<u64>, is_hosted: bool) {
    let run = |run: u64| {
        let mut job = json!({"id": 10_000 + run, "created_at": "now"});
        if is_hosted {
            job["labels"] = json!(["ubuntu-latest"]);
            job["status"] = json!("in_progress");
        }
        json!({"id": run, "pull": 8, "jobs": [job]})
    };
    let runs: Vec<Value> = runs.map(run).collect();
    stage.world(json!({"runs": runs})).await;
}

async fn poll(stage: &Stage) -> PollReport {
    poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect("a poll")
}

fn used(stage: &Stage) -> u64 {
    let left = stage.gate.github.remaining_quota();
    5000 - left.get("core").copied().expect("a quota")
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_runs_of_a_fork_whose_jobs_change_cost_at_most_thirty_calls_a_minute() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1040, true).await;
    poll(&stage).await;
    let (calls, quota) = (stage.calls("list-jobs").await, used(&stage));
    for step in 0..POLLS {
        let changed: Vec<Value> = (1000..1040)
            .map(|run| json!({"id": run, "jobs": [{"id": 10_000 + run, "name": format!("step {step}")}]}))
            .collect();
        stage.world(json!({"runs": changed})).await;
        stage.advance(INTERVAL);
        poll(&stage).await;
    }
    assert_eq!(stage.calls("list-jobs").await - calls, MAX_CALLS);
    assert!(used(&stage) - quota <= MAX_CALLS + LIST_CALLS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_hundreds_of_jobs_uses_the_ration_of_later_polls() {
    let stage = with_a_fork().await;
    let jobs: Vec<Value> = (0..450)
        .map(|job| json!({"id": 20_000 + job, "labels": ["ubuntu-latest"]}))
        .collect();
    stage
        .world(json!({"runs": [{"id": 1000, "pull": 8, "jobs": jobs}]}))
        .await;
    assert_eq!(poll(&stage).await.runs, 1);
    assert_eq!(stage.calls("list-jobs").await, 5);
    add_runs(&stage, 1001..1007, true).await;
    stage.advance(INTERVAL);
    assert_eq!(poll(&stage).await.runs, 0, "the ration is used up");
    stage.advance(INTERVAL);
    assert_eq!(poll(&stage).await.runs, 2);
    stage.advance(INTERVAL);
    assert_eq!(poll(&stage).await.runs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_run_that_lost_its_delivery_is_served_by_the_next_poll_although_a_fork_has_300() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1300, true).await;
    stage.advance(1);
    stage.queue_job(101, false).await;
    stage.advance(INTERVAL);
    let polled = poll(&stage).await;
    assert_eq!((polled.runs, polled.synthesized), (4, 1));
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_of_a_fork_has_its_turn_and_at_most_one_in_a_minute() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1005, false).await;
    stage.advance(INTERVAL);
    let mut asked = Vec::new();
    for _ in 0..8 {
        asked.push(poll(&stage).await.runs);
        stage.advance(INTERVAL);
    }
    assert_eq!(asked, [3, 2, 0, 0, 0, 0, 3, 2]);
    stage.settle().await;
    for job in 11_000..11_005 {
        assert!(stage.synthesized(job).await.contains(&true), "job {job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_comments_start_are_rationed_too() {
    let stage = with_a_fork().await;
    let runs: Vec<Value> = (1000..1040)
        .map(|run| json!({"id": run, "event": "issue_comment", "jobs": [{"id": 10_000 + run}]}))
        .collect();
    stage.world(json!({"runs": runs})).await;
    assert_eq!(poll(&stage).await.runs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_for_every_run() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1040, false).await;
    stage.queue_job(101, false).await;
    stage.advance(INTERVAL);
    let all = PollOptions {
        asks_for_all: true,
        ..PollOptions::default()
    };
    let polled = poll::pass(&stage.gate, all, &|_| {}).await.expect("a poll");
    assert_eq!((polled.runs, polled.synthesized), (41, 41));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsiders_pull_request_is_no_reason_to_poll_often() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1001, false).await;
    stage.advance(INTERVAL);
    poll(&stage).await;
    stage.settle().await;
    assert!(stage.synthesized(11_000).await.contains(&true), "it is decided");
    assert!(!passes::is_fast(&stage.gate).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_run_that_is_over_is_forgotten() {
    let stage = with_a_fork().await;
    add_runs(&stage, 1000..1001, true).await;
    assert_eq!(poll(&stage).await.runs, 1);
    let over = json!({"id": 11_000, "status": "completed"});
    stage.world(json!({"runs": [{"id": 1000, "jobs": [over]}]})).await;
    stage.advance(60);
    assert_eq!(poll(&stage).await.runs, 1, "its end is found");
    stage.advance(INTERVAL);
    assert_eq!(poll(&stage).await.runs, 0);
    // Its second attempt is a new run for a poll, which does not wait for its turn.
    let again = json!({"id": 1000, "attempt": 2, "jobs": [{"id": 12_000, "created_at": "now"}]});
    stage.world(json!({"runs": [again]})).await;
    stage.advance(INTERVAL);
    assert_eq!(poll(&stage).await.runs, 1);
}
