//! Hooks that lie, stay silent or are never called. jitgate never trusts the words of a guest.

use super::stage::{RUNNER_PROGRAM, Stage, needs, world};
use super::thieves::{robbed, the_thief_gets_nothing};
use jitgate::simulator::Tally;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const CALL: &str = r#"bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED""#;
const START: &str = "bin/Runner.Worker spawnclient";
const WORKER_BEGINS: &str = "# WORKER BEGINS";

/// The runner program with its call of the hook replaced.
fn calling(hook: &str) -> String {
    assert!(RUNNER_PROGRAM.contains(CALL));
    RUNNER_PROGRAM.replace(CALL, hook)
}

/// The runner program with this done before its worker is started.
fn starting(first: &str) -> String {
    assert!(RUNNER_PROGRAM.contains(START));
    RUNNER_PROGRAM.replace(START, &format!("{first}\n    {START}"))
}

/// The runner program whose message for the worker names other ids.
fn naming(run: &str, repository: &str) -> String {
    let program = RUNNER_PROGRAM.replace("$(value run)", run);
    program.replace(
        "$(value repository)\\\"},{\\\"k\\\":\\\"run_id",
        &format!("{repository}\\\"}},{{\\\"k\\\":\\\"run_id"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_names_the_run_of_its_victim_is_found_out() {
    let lie = naming("20", "octo-org/chem-model");
    assert_ne!(lie, RUNNER_PROGRAM);
    let mut stage = robbed(&lie, &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_names_nothing_or_nonsense_is_found_out() {
    let mut stage = robbed(&naming("20; rm", "../.."), &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_that_lies_without_any_event_is_killed_at_the_deadline() {
    let lie = naming("20", "octo-org/chem-model");
    let mut stage = robbed(&lie, &[("runners.gate_deadline_s", "2")]).await;
    let ended = |story: &Value| story.to_string().contains("gate-unanswered");
    stage.gate.ask_until("/api/v1/jobs/701", ended).await;
    let tally = stage.github.tally().await.expect("a tally");
    assert!(!tally.jobs[&666].ran, "{tally:?}");
    stage.go_on();
    stage.until_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debugger_that_runs_a_command_before_any_hook_runs_none_for_a_thief() {
    // In "Set up job", as the job debugger of actions/runner can: the step counts as run from here.
    assert!(RUNNER_PROGRAM.contains(WORKER_BEGINS));
    let debugged = RUNNER_PROGRAM.replace(
        WORKER_BEGINS,
        "bash -c 'tell() { curl --silent -X POST \"$server/$1\"; }; tell open'",
    );
    let mut stage = robbed(&debugged, &[]).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_runner_is_dead_within_six_seconds_of_the_event_of_its_job() {
    silent(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_runner_is_dead_within_seven_seconds_without_any_event() {
    silent(false).await;
}

/// Its worker is none of ours, and would run for ever without asking. No deadline but that of the silence is near.
async fn silent(is_told: bool) {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 701}]});
    let world = world(json!([run]), json!([{"number": 7}]));
    let settings = [("runners.attempts", "1")];
    let mut stage = Stage::set_with(&starting("exec sleep 1000"), world, &settings).await;
    stage.deliver("queued", 701).await;
    let shown = |tally: &Tally| tally.jobs[&701].status == "in_progress";
    stage.until("a job is on the runner", shown).await;
    let began = Instant::now();
    if is_told {
        stage.go_on();
    }
    let ended = |story: &Value| story.to_string().contains("hook-silent");
    stage.gate.ask_until("/api/v1/jobs/701", ended).await;
    // Five from when the gate knows. Without an event it lists the runners every second.
    let within = Duration::from_secs(if is_told { 6 } else { 7 });
    assert!(began.elapsed() < within, "{:?}", began.elapsed());
    stage.go_on();
    stage.until_nothing_is_left().await;
    let tally = stage.github.tally().await.expect("a tally");
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
    let program = starting(&fail);
    let mut stage = Stage::set_with(&program, world, &[("runners.gate_deadline_s", "20")]).await;
    stage.deliver("queued", 101).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran), (1, 1), "{tally:?}");
}
