//! The mode `observe`: nothing is written to GitHub, and everything is reported.

use super::stage::Stage;
use jitgate::domain::rollout::Changed;
use jitgate::domain::routing::RoutingVerdict;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_reported_once_and_nothing_is_written() {
    let stage = Stage::set("observe").await;
    stage.count(1..=3).await;
    assert_eq!(stage.record().await.canary.stage, 1, "the canary counts");
    stage.failed_to_boot(4).await;
    stage.advance(1);
    stage.failed_to_boot(5).await;
    for _ in 0..4 {
        stage.pass().await;
        stage.advance(10);
    }
    assert_eq!(stage.variable().await, "true");
    let reports = stage.changes(Changed::Rollback).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!((reports[0].would, reports[0].from, reports[0].to), (true, 1, 0));
    let alerts = stage.alerts().await;
    assert_eq!(
        (alerts.len(), alerts[0].count, alerts[0].verdict.as_str()),
        (1, 1, "boot-failures")
    );
    assert!(
        alerts[0]
            .summary
            .starts_with("jitgate would switch self-hosted routing off")
    );
    let canary = stage.record().await.canary;
    assert_eq!(
        (canary.stage, canary.progress),
        (1, 4),
        "it does not fall, and it counts"
    );
    let status = stage.jitgate(&["--json", "rollout", "status"]).json();
    assert_eq!(
        (&status["held"]["cause"], &status["triggers"][0]["hit"]),
        (&json!("trigger"), &json!(true))
    );
    assert_eq!(
        status["history"]
            .as_array()
            .and_then(|list| list.last())
            .map(|it| &it["would"]),
        Some(&json!(true))
    );
    assert_eq!(stage.pass().await, 0, "an idle pass does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_stays_while_a_trigger_is_hit_and_goes_on_afterwards() {
    let stage = Stage::set("observe").await;
    stage.failed_to_boot(1).await;
    stage.advance(1);
    stage.failed_to_boot(2).await;
    stage.pass().await;
    assert_eq!(stage.record().await.canary.stage, 0);
    assert_eq!(stage.alerts().await.len(), 1);
    stage.advance(1);
    stage.count([3]).await;
    assert_eq!(stage.record().await.canary.stage, 1);
    assert_eq!(stage.alerts().await, [], "its alert ends with the trigger");
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_reported_again_after_routing_was_switched_on_again() {
    let stage = Stage::set("observe").await;
    for (first, second) in [(1, 2), (3, 4)] {
        stage.failed_to_boot(first).await;
        stage.advance(1);
        stage.failed_to_boot(second).await;
        stage.pass().await;
        assert_eq!(stage.alerts().await.len(), 1);
        stage.advance(1);
        stage.switch("false").await;
        stage.advance(60);
        stage.switch("true").await;
        stage.advance(1);
        stage.pass().await;
        assert_eq!(stage.alerts().await, []);
    }
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_mismatch_is_in_the_history_and_its_decision_has_raised_the_alert() {
    let stage = Stage::set("observe").await;
    stage.mismatched(1, RoutingVerdict::Misroute).await;
    stage.pass().await;
    stage.pass().await;
    assert_eq!(stage.variable().await, "true");
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 1);
    assert_eq!(stage.alerts().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_is_reported_and_the_canary_waits() {
    let stage = Stage::set_with(
        "observe",
        "advance = \"manual\"\n[runners]\nhost = \"synthetic\"\nmin = 0\n",
    )
    .await;
    stage.count(1..=2).await;
    assert_eq!(stage.variable().await, "true");
    let stops = stage.changes(Changed::Disable).await;
    assert_eq!((stops.len(), stops[0].would), (1, true));
    assert_eq!(stage.jitgate(&["rollout", "advance", "--why", "all green"]).code, 0);
    assert_eq!(stage.record().await.canary.stage, 1);
    stage.count(3..=4).await;
    assert_eq!(stage.record().await.canary.progress, 2);
}
