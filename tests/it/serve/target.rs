//! `jitgate replay --target`: fixtures on a running gate, and the refusal to play on a real GitHub.

use super::outage::Hanging;
use super::story::Story;
use crate::support::gate::{Gate, Place};
use serde_json::{Value, json};
use std::fs;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// Plays fixtures on a gate; gives the exit code, the report, and what was complained of.
async fn replay(gate: &Gate, fixtures: &str) -> (Option<i32>, Value, String) {
    let (target, admin) = (format!("http://{}", gate.public), format!("http://{}", gate.admin));
    let args = ["replay", fixtures, "--json", "--target", &target, "--admin-url", &admin];
    let mut process = gate.place.start(&args, &[]);
    let code = process.code().await;
    let report = serde_json::from_str(&process.out.text()).unwrap_or_default();
    (code, report, process.err.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn fixtures_for_a_running_worker_pass_on_it() {
    let count = fs::read_dir(FIXTURES).expect("fixtures").count();
    let repositories: Vec<String> = (1..=count)
        .map(|number| format!("octo-org/scenario-{number}"))
        .collect();
    let settings = [("repositories", &*repositories.join(",")), ("rollout.mode", "enforce")];
    let story = Story::of(json!({}), &settings).await;

    let (code, report, complaints) = replay(&story.gate, FIXTURES).await;
    let played = report["scenarios"].as_array().expect("scenarios");
    let failed: Vec<&Value> = played.iter().filter(|scenario| scenario["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(code, Some(0), "{complaints}");
    let skipped = report["skipped"].as_array().expect("skipped");
    assert_eq!(played.len() + skipped.len(), count);
    assert!(played.len() > count / 3, "{} of {count} were played", played.len());
    for skipped in skipped {
        let reason = skipped["reason"].as_str().unwrap_or_default();
        assert!(
            !reason.is_empty() && !reason.contains("another configured repository"),
            "{skipped}"
        );
    }
    // The gate remembers: nothing can be played there twice.
    let one = format!("{FIXTURES}/trusted-pull-request-gets-one-runner.json");
    let (code, report, _) = replay(&story.gate, &one).await;
    assert_eq!((code, report["scenarios"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert_eq!(
        report["skipped"][0]["reason"],
        "contains a job that this jitgate already knows"
    );
}

#[tokio::test]
async fn replay_refuses_a_target_whose_github_may_be_real() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let (code, _, complaint) = replay(&gate, FIXTURES).await;
    assert_eq!(code, Some(2));
    assert!(complaint.contains("does not use a simulated GitHub"), "{complaint}");
    assert_eq!(gate.ask("/api/v1/deliveries").await.body["deliveries"], json!([]));
}

#[tokio::test]
async fn a_fixture_that_is_none_is_named_before_anything_is_played() {
    let github = Hanging::start().await;
    let gate = Gate::start_in(Place::new(), &github.url, &[], &[]).await;
    gate.place
        .file("typo.json", "{\"title\": \"x\", \"whi\": \"y\"}", 0o600);
    let (code, _, complaint) = replay(&gate, "typo.json").await;
    assert_eq!(code, Some(3));
    assert!(
        complaint.contains("typo.json") && complaint.contains("whi"),
        "{complaint}"
    );
}
