//! A rollback that is interrupted, executed twice, or overruled.

use super::stage::{Dying, Moment, Pausing, Stage, VARIABLE};
use crate::support::in_process::{REPOSITORY, decide};
use jitgate::app::Context;
use jitgate::app::events::worker;
use jitgate::app::records::{self, RepositoryRecord, RolloutRecord, WaitingRecord};
use jitgate::app::rollout::pass;
use jitgate::domain::alert::AlertState;
use jitgate::domain::rollout::{Changed, RollbackStep, StuckState};
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Kills a worker at its n-th write, and lets its successor go on. Returns false if the worker had no such write.
async fn killed_at(write: usize, moment: Moment) -> bool {
    let stage = Stage::before_a_rollback().await;
    let dying = Dying::at(stage.store.ledger.clone(), write, moment);
    let first = stage.gate_on(dying.clone(), "gate0001");
    let was_killed = tokio::select! {
        () = dying.death() => true,
        () = stage.run(&first) => false,
    };
    drop(first);
    stage.run(&stage.gate("gate0001")).await;
    stage
        .expect_one_rollback(&format!("killed {moment:?} write {write}"))
        .await;
    was_killed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_changes_nothing_in_the_end() {
    let mut writes = 0;
    while killed_at(writes + 1, Moment::Before).await && killed_at(writes + 1, Moment::After).await {
        writes += 1;
    }
    assert!(writes > 12, "a rollback has more than {writes} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_roll_back_once() {
    let stage = Stage::before_a_rollback().await;
    let (one, two) = (stage.gate("gate0001"), stage.gate("gate0002"));
    tokio::join!(stage.run(&one), stage.run(&two));
    stage.expect_one_rollback("two workers").await;
    let calls = stage.tally().await.calls;
    assert_eq!(
        (calls["set-variable"], calls["cancel"]),
        (1, 1),
        "only one of them sends each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_is_repeated_until_github_shows_it() {
    let stage = Stage::before_a_rollback().await;
    // GitHub answers as if it had taken the value.
    stage
        .world(json!({"faults": [{"endpoint": "set-variable", "status": 204, "times": 2}]}))
        .await;
    let gate = stage.gate("gate0001");
    stage.second(&gate).await;
    assert_eq!(stage.tally().await.variables[VARIABLE], "true");
    stage.seconds(&gate, 4).await;
    assert_eq!(stage.tally().await.variables[VARIABLE], "false", "within 5 s");
    stage.run(&gate).await;
    stage.expect_one_rollback("two writes without effect").await;
    assert_eq!(stage.tally().await.calls["set-variable"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_switches_on_after_the_write_is_not_overruled() {
    let stage = Stage::before_a_rollback().await;
    // The write takes effect, but its answer is lost.
    stage
        .world(json!({"faults": [{"endpoint": "set-variable", "drop": "after"}]}))
        .await;
    let gate = stage.gate("gate0001");
    stage.second(&gate).await;
    assert_eq!(
        stage.record().await.rollback.map(|it| it.step),
        Some(RollbackStep::Writing)
    );
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.run(&gate).await;
    let tally = stage.tally().await;
    assert_eq!((tally.variables[VARIABLE].as_str(), tally.reruns.len()), ("true", 0));
    let whats: Vec<Changed> = stage.history().await.iter().map(|change| change.what).collect();
    assert_eq!(whats, [Changed::Rollback, Changed::Enable]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cancelled_is_re_run_although_a_person_switches_on() {
    let stage = Stage::before_a_rollback().await;
    let gate = stage.gate("gate0001");
    stage.second(&gate).await;
    let state = |record: jitgate::app::records::RolloutRecord| record.rollback.map(|it| it.stuck[0].state);
    assert_eq!(state(stage.record().await), Some(StuckState::Cancelling));
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.run(&gate).await;
    let tally = stage.tally().await;
    assert_eq!(
        (tally.variables[VARIABLE].as_str(), tally.reruns.as_slice()),
        ("true", [20].as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_stays_off_until_a_person_switches_it_on_and_old_runs_do_not_fire_again() {
    let stage = Stage::before_a_rollback().await;
    let gate = stage.gate("gate0001");
    stage.run(&gate).await;
    stage.deliver("completed", 401).await;
    stage.seconds(&gate, 30).await;
    stage.expect_one_rollback("a late event").await;

    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.seconds(&gate, 11).await;
    stage.deliver("in_progress", 401).await;
    stage.seconds(&gate, 30).await;
    assert_eq!(stage.tally().await.variables[VARIABLE], "true");
    let alerts = stage.alerts("rollback").await;
    assert_eq!(alerts[0].state, AlertState::Resolved);
    let history = stage.history().await;
    let last = history.last().expect("a change");
    assert_eq!((last.what, last.by.as_deref()), (Changed::Enable, None));
    assert_eq!(stage.record().await.enabled_at, Some(last.at), "by GitHub's clock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_a_person_at_github_is_noted_once() {
    let stage = Stage::set(json!({})).await;
    let gate = stage.gate("gate0001");
    stage.deliver("queued", 101).await;
    stage.second(&gate).await;
    assert_eq!(stage.history().await, [], "routing was on before jitgate first saw it");
    stage.seconds(&gate, 10).await;
    stage.world(json!({"variables": {VARIABLE: "false"}})).await;
    for job in [102, 103] {
        stage.seconds(&gate, 11).await;
        stage.world(json!({"runs": [{"id": 20, "jobs": [{"id": job}]}]})).await;
        stage.deliver("queued", job).await;
        stage.seconds(&gate, 11).await;
    }
    let history = stage.history().await;
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!((history[0].what, &history[0].by), (Changed::Disable, &None));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_observe_nothing_is_written() {
    let stage = Stage::set(json!({"rollout": {"mode": "observe"}})).await;
    let gate = stage.gate("gate0001");
    stage.deliver("queued", 101).await;
    stage.deliver("queued", 401).await;
    stage.seconds(&gate, 60).await;
    let tally = stage.tally().await;
    assert_eq!(tally.variables[VARIABLE], "true");
    for call in ["set-variable", "create-variable", "cancel", "rerun"] {
        assert_eq!(tally.calls.get(call), None, "{call}");
    }
    assert_eq!(stage.record().await.rollback, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_left_alone_if_the_operator_wants_so_or_if_they_are_no_longer_stuck() {
    let stage = Stage::set(json!({"rollout": {"rerun_stuck": false}})).await;
    let gate = stage.gate("gate0001");
    stage.deliver("queued", 101).await;
    stage.deliver("queued", 401).await;
    stage.run(&gate).await;
    assert_eq!(stage.tally().await.reruns, [] as [u64; 0]);

    let stage = Stage::before_a_rollback().await;
    let running = json!({"id": 101, "status": "in_progress", "runner_id": 77, "duration_s": 3600});
    stage
        .world(
            json!({"runners": [{"id": 77, "labels": ["self-hosted", "linux", "x64", "chem-trusted-pr"]}],
                       "runs": [{"id": 20, "jobs": [running]}]}),
        )
        .await;
    stage.run(&stage.gate("gate0001")).await;
    let tally = stage.tally().await;
    assert_eq!(
        (tally.variables[VARIABLE].as_str(), tally.calls.get("cancel")),
        ("false", None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_for_ten_seconds_is_reported_once_until_it_holds() {
    let stage = Stage::before_a_rollback().await;
    let fault = json!({"endpoint": "set-variable", "status": 403, "times": 1000,
                       "message": "Resource not accessible by integration"});
    stage.world(json!({"faults": [fault]})).await;
    let mut gate = stage.gate("gate0001");
    stage.seconds(&gate, 10).await;
    assert_eq!(
        stage.alerts("rollback").await.len(),
        0,
        "it may still be a passing fault"
    );
    stage.second(&gate).await;
    for round in 0..10 {
        // Neither a restart nor another failure reports it again.
        gate = stage.gate("gate0001");
        stage.seconds(&gate, 4).await;
        let other = json!({"endpoint": "set-variable", "status": 403, "times": 1000, "message": format!("no {round}")});
        stage
            .world(json!({"faults": [{"endpoint": "set-variable", "times": 0}, other]}))
            .await;
        let alerts = stage.alerts("rollback").await;
        let told: Vec<_> = alerts.iter().map(|alert| (alert.count, alert.state)).collect();
        assert_eq!(told, [(1, AlertState::Open)]);
        for part in [
            "job 401",
            "Resource not accessible by integration",
            "jitgate routing disable",
        ] {
            assert!(alerts[0].summary.contains(part), "{part}: {}", alerts[0].summary);
        }
    }
    stage
        .world(json!({"faults": [{"endpoint": "set-variable", "times": 0}]}))
        .await;
    stage.run(&gate).await;
    let mut alerts = stage.alerts("rollback").await;
    alerts.sort_by_key(|alert| alert.opened_at);
    let told: Vec<_> = alerts
        .iter()
        .map(|alert| (alert.verdict.as_str(), alert.count, alert.state))
        .collect();
    assert_eq!(
        told,
        [
            ("not-routed", 1, AlertState::Open),
            ("route-mismatch", 1, AlertState::Resolved)
        ]
    );
    assert_eq!(stage.tally().await.variables[VARIABLE], "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_about_a_failing_write_survives_a_crash_at_any_write() {
    for moment in [Moment::Before, Moment::After] {
        let mut write = 1;
        loop {
            let stage = Stage::before_a_rollback().await;
            let fault = json!({"endpoint": "set-variable", "status": 403, "times": 1000, "message": "no"});
            stage.world(json!({"faults": [fault]})).await;
            let first = stage.gate("gate0001");
            stage.seconds(&first, 10).await;
            let dying = Dying::at(stage.store.ledger.clone(), write, moment);
            let second = stage.gate_on(dying.clone(), "gate0001");
            let was_killed = tokio::select! {
                () = dying.death() => true,
                () = stage.seconds(&second, 2) => false,
            };
            stage.seconds(&stage.gate("gate0001"), 20).await;
            let alerts = stage.alerts("rollback").await;
            let told: Vec<_> = alerts.iter().map(|alert| (alert.count, alert.state)).collect();
            assert_eq!(told, [(1, AlertState::Open)], "{moment:?} write {write}");
            if !was_killed {
                break;
            }
            write += 1;
        }
        assert!(write > 3, "the report has more than {write} writes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_runs_that_the_first_list_does_not_show_are_found_after_it() {
    let stage = Stage::set(json!({})).await;
    // The run of a workflow that is not routed is not measured, so only its waiting job shows it.
    let late = json!({"id": 30, "pull": 7, "path": ".github/workflows/other.yml", "jobs": [{"id": 301}]});
    stage.world(json!({"runs": [late]})).await;
    let gate = stage.gate("gate0001");
    stage.deliver("queued", 101).await;
    stage.deliver("queued", 301).await;
    worker::run_until_idle(&gate, "test").await.expect("the store answers");
    let (ledger, day) = (stage.store.ledger.as_ref(), Duration::from_secs(86_400));
    let waiting: Option<WaitingRecord> = records::load(ledger, "301").await.expect("the store answers");
    let waiting = waiting.expect("job 301 waits");
    records::remove::<WaitingRecord>(ledger, "301")
        .await
        .expect("the store answers");
    stage.deliver("queued", 401).await;
    stage.second(&gate).await;
    let listed = |record: RolloutRecord| {
        record
            .rollback
            .map(|it| it.stuck.iter().map(|stuck| stuck.run.0).collect())
    };
    assert_eq!(listed(stage.record().await), Some(vec![20]));
    records::update(ledger, "301", day, |record| *record = Some(waiting.clone()))
        .await
        .expect("the store answers");
    stage.run(&gate).await;
    assert_eq!(
        stage.tally().await.reruns,
        [20, 30],
        "each once, one list after the other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_does_not_undo_what_a_person_has_switched_meanwhile() {
    let stage = Stage::before_a_rollback().await;
    // The slow worker has read the variable as on, and is about to claim the write.
    let claim = "\"step\":\"writing\"";
    let pausing = Pausing::before(stage.store.ledger.clone(), claim);
    let slow = stage.gate_on(pausing.clone(), "gate0001");
    let mut deciding = pin!(decide(&slow));
    tokio::select! {
        _ = &mut deciding => panic!("it claims no write"),
        () = pausing.reached() => {}
    }
    pass::run_once(&stage.gate("gate0002")).await;
    assert_eq!(stage.variable().await, "false", "the other worker is faster");
    stage.advance(5);
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    pausing.release();
    deciding.await;
    stage.seconds(&slow, 30).await;
    let tally = stage.tally().await;
    assert_eq!(
        (stage.variable().await.as_str(), tally.calls["set-variable"]),
        ("true", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_that_waits_again_is_not_cancelled_by_the_next_rollback() {
    let stage = Stage::before_a_rollback().await;
    let gate = stage.gate("gate0001");
    stage.run(&gate).await;
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.seconds(&gate, 11).await;
    // Its workflow ignores the variable, so its second attempt asks for our runners too.
    stage
        .world(json!({"runs": [{"id": 20, "triggering_actor": "alice"}]}))
        .await;
    stage.deliver("queued", 900_001).await;
    stage.seconds(&gate, 2).await;
    let ledger = stage.store.ledger.as_ref();
    let waiting: Option<WaitingRecord> = records::load(ledger, "900001").await.expect("the store answers");
    assert!(waiting.is_some(), "it waits for a runner");
    let other = json!({"id": 41, "pull": 9, "jobs": [{"id": 411, "labels": ["ubuntu-latest"]}]});
    stage.world(json!({"runs": [other]})).await;
    stage.deliver("queued", 411).await;
    stage.run(&gate).await;
    let tally = stage.tally().await;
    assert_eq!(tally.variables[VARIABLE], "false");
    assert_eq!(
        (tally.calls["cancel"], tally.reruns.as_slice()),
        (1, [20].as_slice()),
        "only the first attempt starts over"
    );
}

/// The write fails until that is reported.
async fn with_a_failing_write() -> (Stage, Arc<Context>) {
    let stage = Stage::before_a_rollback().await;
    let fault = json!({"endpoint": "set-variable", "status": 403, "times": 1000,
                       "message": "Resource not accessible by integration"});
    stage.world(json!({"faults": [fault]})).await;
    let gate = stage.gate("gate0001");
    stage.seconds(&gate, 12).await;
    assert_eq!(states_of_alerts(&stage).await, [AlertState::Open]);
    (stage, gate)
}

async fn states_of_alerts(stage: &Stage) -> Vec<AlertState> {
    let alerts = stage.alerts("rollback").await;
    alerts.iter().map(|alert| alert.state).collect()
}

async fn is_latched(stage: &Stage) -> bool {
    let record: Option<RepositoryRecord> = records::load(stage.store.ledger.as_ref(), REPOSITORY)
        .await
        .expect("the store answers");
    record.is_some_and(|record| record.rolled_back.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_sees_the_old_value_ends_no_rollback() {
    let (stage, gate) = with_a_failing_write().await;
    stage.world(json!({"runs": [{"id": 20, "jobs": [{"id": 102}]}]})).await;
    stage.deliver("queued", 102).await;
    decide(&gate).await;
    assert!(
        is_latched(&stage).await,
        "GitHub shows the variable as on, and it is not written yet"
    );
    assert_eq!(states_of_alerts(&stage).await, [AlertState::Open]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_switches_on_ends_the_alert_about_the_failing_write() {
    // The rollback sees it first.
    let (stage, gate) = with_a_failing_write().await;
    stage.advance(30);
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    pass::run_once(&gate).await;
    assert_eq!(states_of_alerts(&stage).await, [AlertState::Resolved]);

    // A decision sees it before the next attempt to write is due.
    let (stage, gate) = with_a_failing_write().await;
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.world(json!({"runs": [{"id": 20, "jobs": [{"id": 102}]}]})).await;
    stage.deliver("queued", 102).await;
    decide(&gate).await;
    assert_eq!(states_of_alerts(&stage).await, [AlertState::Resolved]);
    assert!(!is_latched(&stage).await, "jobs are served again");
}
