//! `jitgate delivery recover` beside a serving process, with a token: it has no delivery log, and polls runs.

use super::stage::Stage;
use serde_json::{Value, json};

/// A stage whose two jobs were queued a minute ago, and no delivery told of it.
async fn with_missing_events() -> Stage {
    let stage = Stage::set().await;
    let run = |run: u64, job: u64| json!({"id": run, "jobs": [{"id": job, "created_at": "now-60s"}]});
    stage.world(json!({"runs": [run(20, 101), run(30, 102)]})).await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_is_missing_and_a_token_is_an_error_with_a_remedy() {
    let stage = with_missing_events().await;
    let answer = stage.jitgate(&["delivery", "recover", "--dry-run"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(answer.out.contains("events to be synthesized: 2"), "{}", answer.out);
    assert!(answer.err.contains("cannot be read with a token"), "{}", answer.err);
    assert!(answer.err.contains("remedy: set github.app_id"), "{}", answer.err);
    let listed = stage.jitgate(&["delivery", "list", "--json"]).json();
    assert_eq!(listed["deliveries"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn synthesized_events_are_shown_as_such() {
    let stage = with_missing_events().await;
    let answer = stage.jitgate(&["delivery", "recover", "--json"]);
    let report: Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!(
        (&report["poll"]["synthesized"], &report["log"]),
        (&json!(2), &Value::Null)
    );
    stage.work().await;
    let listed = stage.jitgate(&["delivery", "list", "--job", "101"]);
    assert!(listed.out.contains("workflow_job (synthesized)"), "{}", listed.out);
    let shown = stage
        .jitgate(&["delivery", "show", "poll-101-1-queued", "--json"])
        .json();
    assert_eq!(shown["delivery"]["synthesized"], true);
    assert_eq!(shown["decision"]["synthesized"], true);
    let why = stage.jitgate(&["why", "101"]);
    assert!(why.out.contains("queued (synthesized)"), "{}", why.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_refuses_is_exit_code_4() {
    let stage = with_missing_events().await;
    stage
        .world(json!({"faults": [{"endpoint": "list-runs", "status": 503}]}))
        .await;
    let answer = stage.jitgate(&["delivery", "recover"]);
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(answer.err.contains("remedy: "), "{}", answer.err);
}
