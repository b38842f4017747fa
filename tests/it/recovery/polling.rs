//! Polling: events about jobs that no delivery reports, and their cost.

use super::stage::Stage;
use jitgate::app::events::worker;
use jitgate::app::recovery::poll::{self, PollOptions};
use jitgate::domain::job::Progress;
use serde_json::{Value, json};

/// Synthesizes what is missing, without the delivery log.
async fn poll(stage: &Stage) -> usize {
    poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect("a poll")
        .synthesized
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_job_without_a_delivery_gets_a_runner_and_its_record_says_how() {
    let stage = Stage::new().await;
    stage.queue_job(101, false).await;
    stage.advance(9);
    assert_eq!(poll(&stage).await, 0, "its delivery can still arrive");
    stage.advance(1);
    assert_eq!(poll(&stage).await, 1);
    assert_eq!(poll(&stage).await, 0, "the event waits in the queue");
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 1);
    assert!(stage.synthesized(101).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_delivery_of_a_synthesized_event_changes_nothing() {
    let stage = Stage::new().await;
    stage.queue_job(101, false).await;
    stage.advance(10);
    poll(&stage).await;
    stage.settle().await;
    let late = stage
        .github
        .render("workflow_job", "queued", 101, None)
        .await
        .expect("a payload");
    assert_eq!(stage.post("late", "workflow_job", &late).await, 202);
    stage.settle().await;
    let tally = stage.tally().await;
    assert_eq!((tally.minted, tally.ran, tally.runners_left), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_behind_needs_is_found_when_it_appears_in_its_run() {
    let stage = Stage::new().await;
    stage.queue_job(101, true).await;
    stage.settle().await;
    poll(&stage).await;
    // The first job is over, and GitHub adds the second one without a delivery.
    stage.queue_job(102, false).await;
    stage.advance(10);
    assert_eq!(poll(&stage).await, 1);
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_that_left_the_lists_is_found() {
    let stage = Stage::new().await;
    stage.queue_job(101, true).await;
    stage.settle().await;
    let foreign = json!({"id": 5, "labels": ["self-hosted", "linux", "x64", "chem-trusted-pr"]});
    stage.world(json!({"delivers": false, "runners": [foreign]})).await;
    stage.queue_job(102, false).await;
    stage.advance(10);
    poll(&stage).await;
    stage.round().await;
    assert_eq!(stage.job(102).await.expect("a job").progress, Progress::InProgress);
    let over = json!([{"id": 20, "jobs": [{"id": 102, "status": "completed", "conclusion": "success"}]}]);
    stage.world(json!({"runs": over})).await;
    assert_eq!(poll(&stage).await, 1);
    stage.round().await;
    assert_eq!(stage.job(102).await.expect("a job").progress, Progress::Completed);
    let calls = stage.calls("list-jobs").await;
    poll(&stage).await;
    assert_eq!(
        stage.calls("list-jobs").await,
        calls,
        "a run that is over is not asked for again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_other_runners_are_not_synthesized() {
    let stage = Stage::new().await;
    let jobs = json!([{"id": 101, "labels": ["ubuntu-latest"]}, {"id": 102, "labels": ["self-hosted", "gpu"]}]);
    stage
        .world(json!({"runs": [{"id": 20, "pull": 7, "jobs": jobs}]}))
        .await;
    stage.advance(60);
    assert_eq!(poll(&stage).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsiders_job_is_judged_like_a_delivered_one() {
    let stage = Stage::new().await;
    stage
        .world(json!({
            "pulls": [{"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
                       "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}}],
            "runs": [{"id": 30, "pull": 8, "jobs": [{"id": 301, "created_at": "now"}]}],
        }))
        .await;
    stage.advance(60);
    assert_eq!(poll(&stage).await, 1);
    stage.settle().await;
    assert_eq!(stage.tally().await.minted, 0);
    let decision = &stage.job(301).await.expect("a job").decisions[0].decision;
    assert_eq!(
        serde_json::to_value(decision).expect("JSON")["trust"]["verdict"],
        "untrusted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gates_that_poll_at_once_queue_an_event_once() {
    let stage = Stage::new().await;
    stage.queue_job(101, false).await;
    stage.advance(10);
    let other = stage.another_gate("other");
    let quiet = |_: &_| {};
    let (one, two) = tokio::join!(
        poll::pass(&stage.gate, PollOptions::default(), &quiet),
        poll::pass(&other, PollOptions::default(), &quiet)
    );
    assert_eq!(one.expect("a poll").synthesized + two.expect("a poll").synthesized, 1);
    stage.settle().await;
    assert_eq!(stage.tally().await.minted, 1);
}

async fn used(stage: &Stage) -> u64 {
    let left = stage.gate.github.remaining_quota();
    5000 - left.get("core").copied().expect("a quota")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_costs_no_quota_when_nothing_changed() {
    let stage = Stage::new().await;
    let many: Vec<Value> = (0..120)
        .map(|run| json!({"id": 500 + run, "pull": 7, "jobs": [{"id": 9000 + run, "labels": ["ubuntu-latest"]}]}))
        .collect();
    stage.world(json!({"runs": many})).await;
    poll(&stage).await;
    let before = used(&stage).await;
    assert!(before >= 120, "{before} calls for 120 runs");
    stage.advance(15);
    poll(&stage).await;
    assert_eq!(used(&stage).await, before);
    assert_eq!(stage.calls("list-jobs").await, 240);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_interrupted_continues_with_the_rest_oldest_first() {
    let stage = Stage::new().await;
    for job in 0..6 {
        let run = json!({"id": 600 - job, "pull": 7, "jobs": [{"id": 9000 + job}]});
        stage.world(json!({"runs": [run]})).await;
        stage.advance(1);
    }
    stage.advance(60);
    let limit = json!([{"endpoint": "list-jobs", "status": 429, "headers": {"retry-after": "5"}, "every": 4}]);
    stage.world(json!({"faults": limit})).await;
    poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect_err("a rate limit");
    assert_eq!(stage.calls("list-jobs").await, 4);
    stage.settle().await;
    for (job, is_known) in [(9000, true), (9002, true), (9003, false), (9005, false)] {
        assert_eq!(stage.job(job).await.is_some(), is_known, "job {job}");
    }
    stage.advance(5);
    let rest = poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect("a poll");
    assert_eq!((rest.runs, rest.synthesized), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_cannot_anticipate_a_synthesized_event() {
    let stage = Stage::new().await;
    stage.queue_job(101, false).await;
    let payload = stage
        .github
        .render("workflow_job", "completed", 101, None)
        .await
        .expect("a payload");
    assert_eq!(stage.post("poll-101-1-queued", "workflow_job", &payload).await, 400);
    stage.advance(10);
    assert_eq!(poll(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_delivery_waits_in_the_queue_is_not_synthesized() {
    let stage = Stage::new().await;
    stage.queue_job(101, true).await;
    for delivery in stage.github.outbox().await.expect("deliveries") {
        stage.post(&delivery.guid, &delivery.event, &delivery.payload).await;
    }
    stage.advance(10);
    assert_eq!(poll(&stage).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waited_when_the_gate_stopped_and_ended_meanwhile_is_found() {
    let mut stage = Stage::new().await;
    stage.queue_job(101, true).await;
    for delivery in stage.github.outbox().await.expect("deliveries") {
        stage.post(&delivery.guid, &delivery.event, &delivery.payload).await;
    }
    let decided = worker::run_until_idle(&stage.gate, "test").await;
    assert_eq!(decided.expect("the store answers"), 1);
    stage.go_down().await;
    let over = json!([{"id": 20, "jobs": [{"id": 101, "status": "completed", "conclusion": "cancelled"}]}]);
    stage.world(json!({"runs": over})).await;
    stage.come_up().await;
    assert_eq!(poll(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_asks_for_at_most_300_runs_and_the_next_one_for_the_rest() {
    let stage = Stage::new().await;
    let many: Vec<Value> = (0..305)
        .map(|run| json!({"id": 1500 + run, "pull": 7, "jobs": [{"id": 9000 + run, "labels": ["ubuntu-latest"]}]}))
        .collect();
    stage.world(json!({"runs": many})).await;
    poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect_err("too many runs");
    assert_eq!(stage.calls("list-jobs").await, 300);
    let rest = poll::pass(&stage.gate, PollOptions::default(), &|_| {}).await;
    assert_eq!(rest.expect("a poll").runs, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_poll_of_ten_minutes_ago_begins_again() {
    let stage = Stage::new().await;
    let runs = |first: u64, count: u64| -> Vec<Value> {
        (first..first + count)
            .map(|run| json!({"id": run, "pull": 7, "jobs": [{"id": 9000 + run, "labels": ["ubuntu-latest"]}]}))
            .collect()
    };
    stage.world(json!({"runs": runs(600, 4)})).await;
    let limit = json!([{"endpoint": "list-jobs", "status": 429, "headers": {"retry-after": "5"}}]);
    stage.world(json!({"faults": limit})).await;
    poll::pass(&stage.gate, PollOptions::default(), &|_| {})
        .await
        .expect_err("a rate limit");
    stage.world(json!({"runs": runs(700, 2)})).await;
    stage.advance(600);
    let again = poll::pass(&stage.gate, PollOptions::default(), &|_| {}).await;
    assert_eq!(again.expect("a poll").runs, 6);
}
