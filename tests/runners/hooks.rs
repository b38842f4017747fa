//! Hooks that lie, say nothing, or are never called. What a guest says only tells where to look.

use crate::stage::{RUNNER_PROGRAM, Stage, needs, world};
use crate::thieves::{robbed, the_thief_gets_nothing};
use serde_json::json;

const CALL: &str = r#"bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED""#;

/// The runner program with its call of the hook replaced.
fn calling(hook: &str) -> String {
    assert!(RUNNER_PROGRAM.contains(CALL));
    RUNNER_PROGRAM.replace(CALL, hook)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_names_the_run_of_its_victim_is_found_out() {
    let lie = format!("GITHUB_RUN_ID=20 GITHUB_RUN_ATTEMPT=1 GITHUB_REPOSITORY=octo-org/chem-model {CALL}");
    let mut stage = robbed(&calling(&lie), &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_that_names_nothing_or_nonsense() {
    let lie = format!("GITHUB_RUN_ID='20; rm' GITHUB_RUN_ATTEMPT= GITHUB_REPOSITORY=../.. {CALL}");
    let mut stage = robbed(&calling(&lie), &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lies_while_no_event_arrives_is_killed_at_the_deadline() {
    let lie = format!("GITHUB_RUN_ID=20 {CALL}");
    let mut stage = robbed(&calling(&lie), &[("runners.gate_deadline_s", "2")]).await;
    let ended = |story: &serde_json::Value| story.to_string().contains("gate-unanswered");
    stage.gate.ask_until("/api/v1/jobs/701", ended).await;
    let tally = stage.github.tally().await.expect("a tally");
    assert!(!tally.jobs[&666].ran, "{tally:?}");
    stage.go_on();
    stage.until_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_hook_is_never_called_is_stopped() {
    // It waits for its end without having asked, and would run for ever.
    let settings = [
        ("runners.boot_deadline_s", "2"),
        ("runners.gate_deadline_s", "2"),
        ("runners.attempts", "1"),
    ];
    let mut stage = robbed(&calling("exec sleep 1000"), &settings).await;
    stage.go_on();
    let tally = stage
        .until("both are stopped", |tally| {
            tally.jobs[&666].status == "completed" && tally.runners_left == 0
        })
        .await;
    assert!(tally.jobs.values().all(|job| !job.ran), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_called_twice_opens_nothing_twice() {
    let mut stage = robbed(&calling(&format!("{CALL}; {CALL}; {CALL}")), &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_fails_for_a_while_is_asked_steadily_and_the_job_goes_on() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    // From when the job is at its gate: pauses that double would be longer than the gate may take.
    let outage = r#"{"faults": [{"endpoint": "get-job", "status": 503, "times": 8}]}"#;
    let fail = format!("curl --silent --data '{outage}' \"${{server%/_runner/*}}/_simulator/apply\"");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}]});
    let world = world(json!([run]), json!([{"number": 7}]));
    let program = calling(&format!("{fail}; {CALL}"));
    let mut stage = Stage::set_with(&program, world, &[("runners.gate_deadline_s", "20")]).await;
    stage.deliver("queued", 101).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran), (1, 1), "{tally:?}");
}
