//! Runners that should be online and are offline: noticed, recovered once, and then a reason to switch routing off.

use super::stage::{Stage, VARIABLE};
use crate::support::in_process::overlaid;
use jitgate::app::pool;
use jitgate::app::records::{self, InstanceRecord};
use jitgate::app::rollout::offline;
use jitgate::config::Synthetic;
use jitgate::domain::alert::AlertState;
use jitgate::ports::Ledger;
use serde_json::{Value, json};
use std::time::Duration;

/// One slot, whose boots fail from now on.
async fn without_slots(more: Value) -> Stage {
    let settings = json!({"runners": {"min": 1, "max": 1}, "synthetic": {"boot_s": 0, "failing_boots": 1000}});
    let stage = Stage::set(overlaid(settings, &more)).await;
    stage.deliver("queued", 101).await;
    stage
}

async fn seconds(stage: &Stage, gate: &std::sync::Arc<jitgate::app::Context>, count: usize) {
    for _ in 0..count {
        pool::pass::run_once(gate).await.expect("the host answers");
        stage.second(gate).await;
    }
}

async fn variable(stage: &Stage) -> String {
    stage.tally().await.variables[VARIABLE].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_is_switched_off_ten_minutes_after_the_recovery_attempt() {
    let stage = without_slots(json!({})).await;
    let gate = stage.gate("gate0001");
    seconds(&stage, &gate, 25).await;
    let early = offline::outage(&gate)
        .await
        .expect("the store answers")
        .expect("an outage");
    assert_eq!(early.recovery_attempted_at, None);
    seconds(&stage, &gate, 10).await;
    let outage = offline::outage(&gate)
        .await
        .expect("the store answers")
        .expect("an outage");
    let attempted = outage.recovery_attempted_at.expect("an attempt");
    let alerts = stage.alerts("runner-boot-failure").await;
    assert!(
        alerts
            .iter()
            .any(|alert| alert.summary.contains("0 of at least 1 slots")),
        "{alerts:?}"
    );
    let until_limit = (attempted - outage.since).num_seconds() + 600 - 35;
    seconds(&stage, &gate, usize::try_from(until_limit).expect("seconds")).await;
    assert_eq!(variable(&stage).await, "true", "not longer than 600 s");
    seconds(&stage, &gate, 5).await;
    assert_eq!(variable(&stage).await, "false");
    let rollback = &stage.alerts("rollback").await[0];
    assert!(
        rollback.summary.contains("0 of at least 1 slots"),
        "{}",
        rollback.summary
    );
    assert_eq!(rollback.state, AlertState::Open);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_come_back_are_no_outage() {
    let stage = without_slots(json!({})).await;
    let gate = stage.gate("gate0001");
    seconds(&stage, &gate, 40).await;
    stage.host.behave(Synthetic::default());
    seconds(&stage, &gate, 60).await;
    assert_eq!(offline::outage(&gate).await, Ok(None));
    let is_open = |alert: &jitgate::domain::alert::Alert| {
        alert.summary.contains("slots of worker") && alert.state != AlertState::Resolved
    };
    assert!(!stage.alerts("runner-boot-failure").await.iter().any(is_open));
    seconds(&stage, &gate, 600).await;
    assert_eq!(variable(&stage).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_attempt_boots_a_slot_at_once() {
    let stage = without_slots(json!({})).await;
    let gate = stage.gate("gate0001");
    let mut attempted = None;
    while attempted.is_none() {
        // Boots have failed six times by then, so the next one is due after 30 s.
        seconds(&stage, &gate, 1).await;
        let outage = offline::outage(&gate).await.expect("the store answers");
        attempted = outage.and_then(|outage| outage.recovery_attempted_at);
    }
    stage.host.behave(Synthetic {
        failing_boots: 0,
        ..stage.config.synthetic
    });
    seconds(&stage, &gate, 3).await;
    assert_eq!(offline::outage(&gate).await, Ok(None));
}

async fn is_alive(ledger: &dyn Ledger, instance: &str) {
    let record = InstanceRecord {
        place: "elsewhere".to_owned(),
        process: "1".to_owned(),
        beat: 0,
    };
    let alive = records::update(ledger, instance, Duration::from_secs(100_000), |found| {
        *found = Some(record.clone())
    });
    alive.await.expect("the store answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_with_slots_keeps_routing_on_and_a_restart_resets_no_time() {
    let stage = without_slots(json!({})).await;
    let gate = stage.gate("gate0001");
    seconds(&stage, &gate, 40).await;
    let since = offline::outage(&gate)
        .await
        .expect("the store answers")
        .expect("an outage")
        .since;
    is_alive(stage.store.ledger.as_ref(), "gate0002").await;
    assert_eq!(offline::outage(&gate).await, Ok(None), "another worker has its slots");
    records::remove::<InstanceRecord>(stage.store.ledger.as_ref(), "gate0002")
        .await
        .expect("the store answers");

    let restarted = stage.gate("gate0001");
    seconds(&stage, &restarted, 1).await;
    assert_eq!(
        offline::outage(&restarted).await,
        Ok(None),
        "a start has the time of a boot"
    );
    seconds(&stage, &restarted, 120).await;
    let outage = offline::outage(&restarted)
        .await
        .expect("the store answers")
        .expect("an outage");
    assert_eq!(outage.since, since);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_runner_that_is_offline_is_reported_with_its_name() {
    let stage = Stage::set(json!({"runners": {"min": 0, "base": ["gpu-1", "gpu-2"]}})).await;
    stage
        .world(json!({"runners": [{"id": 70, "name": "gpu-1"}, {"id": 71, "name": "gpu-2", "status": "offline"}]}))
        .await;
    let gate = stage.gate("gate0001");
    stage.deliver("queued", 101).await;
    seconds(&stage, &gate, 60).await;
    let outage = offline::outage(&gate)
        .await
        .expect("the store answers")
        .expect("an outage");
    let named: Vec<&str> = outage.runners.iter().map(|item| item.detail.as_str()).collect();
    assert_eq!(named, ["gpu-2 is not online at GitHub"]);
    assert_eq!(stage.alerts("ungated-runner").await.len(), 0, "base runners are known");
    let alerts = stage.alerts("runner-boot-failure").await;
    assert!(
        alerts[0].summary.contains("1 base runner is not online: gpu-2"),
        "{alerts:?}"
    );
    stage.world(json!({"runners": [{"id": 71, "status": "online"}]})).await;
    seconds(&stage, &gate, 20).await;
    assert_eq!(offline::outage(&gate).await, Ok(None));
    assert_eq!(stage.alerts("runner-boot-failure").await[0].state, AlertState::Resolved);
}
