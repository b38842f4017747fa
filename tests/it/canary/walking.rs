//! The walk of the canary through its stages, and its falls.

use super::stage::Stage;
use jitgate::domain::rollout::Changed;
use jitgate::domain::routing::RoutingVerdict;
use serde_json::{Value, json};

/// The first pull requests that reach each stage.
const STAGES: [(usize, u64); 4] = [(0, 0), (1, 1), (2, 11), (3, 36)];

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_walks_through_all_stages_over_40_pull_requests() {
    let stage = Stage::set("enforce").await;
    let mut after = Vec::new();
    for pull_request in 1..=40 {
        stage.count([pull_request]).await;
        after.push(stage.record().await.canary.stage);
    }
    let expected = (1..=40_u64).map(|count| STAGES.iter().filter(|(_, first)| count >= *first).count() - 1);
    assert_eq!(after, expected.collect::<Vec<usize>>());
    assert_eq!(stage.variable().await, "true");
    let status = stage.jitgate(&["--json", "rollout", "status"]).json();
    assert_eq!(
        (&status["repository"], &status["mode"], &status["stage"]),
        (&json!("octo-org/chem-model"), &json!("enforce"), &json!(3))
    );
    assert_eq!(
        (&status["stage_size"], &status["progress"], &status["held"]),
        (&Value::Null, &json!(4), &Value::Null)
    );
    let steps: Vec<_> = status["history"].as_array().expect("a list").iter().collect();
    let moves: Vec<_> = steps
        .iter()
        .map(|it| (&it["what"], &it["from"], &it["to"], &it["by"]))
        .collect();
    let advance = (json!("advance"), json!("jitgate"));
    for (at, (from, to)) in [(0, 1), (1, 2), (2, 3)].into_iter().enumerate() {
        assert_eq!(moves[at], (&advance.0, &json!(from), &json!(to), &advance.1));
    }
    assert_eq!(moves.len(), 3);
    let names: Vec<&Value> = status["triggers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["boot-failures", "queue-wait", "offline", "route-mismatch"]);
    assert!(
        status["triggers"][1]["evidence"]["summary"]
            .as_str()
            .is_some_and(|it| it.contains("5 s"))
    );
    let text = stage.jitgate(&["rollout", "status"]).out;
    assert!(
        text.contains("  stage     3\n") && text.contains("4, without an end"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_falls_back_from_each_stage_and_walks_again() {
    for (from, count) in STAGES {
        let stage = Stage::set("enforce").await;
        stage.count(1..=count).await;
        assert_eq!(stage.record().await.canary.stage, from);
        stage.failed_to_boot(101).await;
        stage.advance(1);
        stage.failed_to_boot(102).await;
        stage.pass().await;
        let rollback = stage.changes(Changed::Rollback).await.remove(0);
        let before = from.saturating_sub(1);
        assert_eq!((rollback.from, rollback.to), (from, before));
        assert_eq!(stage.record().await.canary.progress, 0);
        // What counted before the rollback counts again after it.
        stage.advance(60);
        stage.switch("true").await;
        stage.advance(1);
        let size = [1, 10, 25][before];
        stage.count(1..=size).await;
        assert_eq!(stage.record().await.canary.stage, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_misroute_the_canary_begins_again() {
    let stage = Stage::set("enforce").await;
    stage.count(1..=40).await;
    stage.mismatched(41, RoutingVerdict::Misroute).await;
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
    let rollback = stage.changes(Changed::Rollback).await.remove(0);
    assert_eq!((rollback.from, rollback.to), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_counts_once_and_only_while_routing_is_on() {
    let stage = Stage::set("enforce").await;
    stage.count([1, 2, 2, 2]).await;
    let canary = stage.record().await.canary;
    assert_eq!((canary.stage, canary.progress), (1, 1));
    stage.switch("false").await;
    stage.advance(60);
    stage.count([3]).await;
    assert_eq!(stage.record().await.canary.progress, 1, "routing is off");
    let held = stage.jitgate(&["--json", "rollout", "status"]).json()["held"].clone();
    assert_eq!((&held["cause"], &held["by"]), (&json!("routing-off"), &Value::Null));
    stage.switch("true").await;
    stage.advance(1);
    stage.count([4]).await;
    assert_eq!(stage.record().await.canary.progress, 2, "its progress is kept");
}
