//! Each trigger below its threshold and at it, in the mode `enforce`.

use super::stage::Stage;
use jitgate::app::rollout::pass;
use jitgate::domain::rollout::Changed;
use jitgate::domain::routing::RoutingVerdict;

/// Nothing has happened, even after further passes.
async fn assert_on(stage: &Stage) {
    for _ in 0..3 {
        stage.pass().await;
    }
    assert_eq!(stage.variable().await, "true");
    assert_eq!(stage.changes(Changed::Rollback).await, []);
    assert_eq!(stage.alerts().await, []);
}

/// One pass, without any time, switches routing off, with this evidence; it stays off, and old runs do not fire again
/// after a person has switched it on.
async fn assert_rolls_back(stage: &Stage, trigger: &str, evidence: &str) {
    stage.pass().await;
    assert_eq!(stage.variable().await, "false", "{trigger}");
    let rollbacks = stage.changes(Changed::Rollback).await;
    assert_eq!(rollbacks.len(), 1, "{rollbacks:?}");
    assert_eq!(rollbacks[0].by.as_deref(), Some("jitgate"));
    let why = rollbacks[0].why.as_deref().expect("evidence");
    assert!(why.starts_with(trigger) && why.contains(evidence), "{why}");
    let alerts = stage.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].summary.contains(evidence), "{}", alerts[0].summary);
    stage.advance(30);
    for _ in 0..3 {
        stage.pass().await;
    }
    assert_eq!(stage.variable().await, "false", "it stays off");
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 1);
    stage.advance(30);
    stage.switch("true").await;
    for _ in 0..3 {
        stage.pass().await;
    }
    assert_eq!(stage.variable().await, "true", "{trigger}: old runs do not fire again");
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 1);
    assert_eq!(stage.changes(Changed::Enable).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_boot_failures_in_a_row_switch_routing_off_and_one_does_not() {
    let stage = Stage::set("enforce").await;
    stage.failed_to_boot(1).await;
    stage.advance(60);
    stage.ran(2, 5).await;
    stage.advance(60);
    stage.failed_to_boot(3).await;
    assert_on(&stage).await;
    stage.advance(60);
    stage.failed_to_boot(4).await;
    assert_rolls_back(&stage, "boot-failures", "2 consecutive trusted pull requests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_wait_above_its_limit_switches_routing_off_once_the_window_is_full() {
    let stage = Stage::set("enforce").await;
    for pull_request in 1..=8 {
        stage.ran(pull_request, 5).await;
        stage.advance(60);
    }
    stage.ran(9, 121).await;
    assert_on(&stage).await;
    stage.advance(60);
    stage.ran(10, 120).await;
    assert_rolls_back(
        &stage,
        "queue-wait",
        "121 s without and 121 s with the delivery lag over 10 of 10",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_wait_at_its_limit_changes_nothing() {
    let stage = Stage::set("enforce").await;
    for pull_request in 1..=12 {
        stage.ran(pull_request, 120).await;
        stage.advance(60);
    }
    assert_on(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_stay_away_after_the_recovery_attempt_switch_routing_off() {
    let stage = Stage::set_with("enforce", "[runners]\nhost = \"synthetic\"\nmin = 1\n").await;
    // No pass of the pool makes a slot.
    stage.pass().await;
    stage.advance(30);
    stage.pass().await;
    stage.advance(600);
    assert_on(&stage).await;
    stage.advance(1);
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
    let why = stage.changes(Changed::Rollback).await.remove(0).why.expect("evidence");
    assert!(why.starts_with("offline: 0 of at least 1 slots"), "{why}");
    assert!(
        why.contains("for 601 s after the recovery attempt; the limit is 600 s"),
        "{why}"
    );
    // A person can insist. The time then begins again.
    stage.advance(30);
    stage.switch("true").await;
    stage.advance(600);
    stage.pass().await;
    assert_eq!(stage.variable().await, "true");
    stage.advance(1);
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_mismatch_switches_routing_off() {
    let stage = Stage::set("enforce").await;
    stage.count(1..=3).await;
    assert_on(&stage).await;
    stage.mismatched(4, RoutingVerdict::NotRouted).await;
    assert_rolls_back(&stage, "route-mismatch", "not-routed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gates_roll_back_once() {
    let stage = Stage::set("enforce").await;
    let second = stage.second_gate();
    stage.failed_to_boot(1).await;
    stage.advance(1);
    stage.failed_to_boot(2).await;
    let first = stage.gate.clone();
    let passes = [first, second].map(|gate| tokio::spawn(async move { pass::run_once(&gate).await }));
    for pass in passes {
        pass.await.expect("it ends");
    }
    stage.advance(20);
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
    assert_eq!(stage.changes(Changed::Rollback).await.len(), 1);
    let alerts = stage.alerts().await;
    assert_eq!((alerts.len(), alerts[0].count), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_takes_effect_within_five_seconds_without_any_event() {
    let stage = Stage::set("enforce").await;
    let passes = stage.start_passes();
    stage.failed_to_boot(1).await;
    stage.advance(1);
    stage.failed_to_boot(2).await;
    stage.off_in_time().await;
    passes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_that_was_off_and_on_again_unseen_leaves_its_evidence_behind() {
    let stage = Stage::set("enforce").await;
    stage.failed_to_boot(1).await;
    stage.advance(60);
    stage.switch_unseen("false").await;
    stage.advance(60);
    stage.switch("true").await;
    let on_since = stage.now();
    assert_eq!(stage.record().await.enabled_at, Some(on_since));
    assert_eq!(stage.changes(Changed::Enable).await.len(), 1);
    stage.advance(60);
    stage.failed_to_boot(2).await;
    assert_on(&stage).await;
    // Another look at the same value is no change.
    stage.look().await;
    assert_eq!(stage.record().await.enabled_at, Some(on_since));
    assert_eq!(stage.changes(Changed::Enable).await.len(), 1);
    stage.advance(60);
    stage.failed_to_boot(3).await;
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
}
