//! Runners whose remains cannot be removed in time, on a clock that only the test moves.

use crate::support::in_process::{InProcess, VARIABLE, decide_and_serve, token};
use jitgate::app::Context;
use jitgate::app::runners::list::{ListedRunner, RunnerFilter, list_runners};
use jitgate::domain::alert::{Alert, AlertKind, AlertState};
use jitgate::domain::proof::Step;
use serde_json::json;
use std::sync::Arc;

/// A stage whose job 101 has a runner that GitHub does not let go of.
async fn with_a_runner_that_stays() -> (InProcess, Arc<Context>) {
    let mut stage = InProcess::with(token(), &json!({}));
    let gate = stage.gate("gate0001");
    stage.open_ingress(&gate);
    stage
        .world(json!({
            "pulls": [{"number": 7}],
            "runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101, "duration_s": 60}]}],
            "permissions": {"alice": "write"},
            "variables": {VARIABLE: "true"},
            "faults": [{"endpoint": "delete-runner", "status": 422, "times": 1000}],
        }))
        .await;
    stage.deliver("queued-101", "queued", 101).await;
    seconds(&stage, &gate, 30).await;
    seconds(&stage, &gate, 60).await;
    stage.deliver("completed-101", "completed", 101).await;
    seconds(&stage, &gate, 5).await;
    (stage, gate)
}

async fn seconds(stage: &InProcess, gate: &Arc<Context>, count: usize) {
    for _ in 0..count {
        decide_and_serve(gate).await;
        stage.github.settle().await.expect("the simulator answers");
        stage.advance(1);
    }
}

async fn runner(stage: &InProcess) -> ListedRunner {
    let filter = RunnerFilter {
        all: true,
        limit: 10,
        ..RunnerFilter::default()
    };
    let listed = list_runners(stage.store.ledger.as_ref(), &filter).await;
    let mut runners = listed.expect("the store answers").runners;
    assert_eq!(runners.len(), 1);
    runners.remove(0)
}

async fn left_over(stage: &InProcess) -> Option<Alert> {
    let mut alerts = stage.all_alerts().await.into_iter();
    alerts.find(|alert| alert.kind == AlertKind::RunnerLeftOver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_stays_at_github_is_reported_after_its_deadline_until_it_is_gone() {
    let (stage, gate) = with_a_runner_that_stays().await;
    let ended = runner(&stage).await;
    let reason = |step: Step| {
        let mut steps = ended.proof.iter();
        steps
            .find(|proven| proven.step == step)
            .and_then(|proven| proven.missing.clone())
    };
    assert_eq!(reason(Step::DiskGone), None, "the slot is gone: {:?}", ended.proof);
    let busy = format!(
        "GitHub's record is not removed yet: runner {} is destroyed, but GitHub still shows it as busy",
        ended.runner.name
    );
    assert_eq!(reason(Step::RecordGone), Some(busy));
    assert_eq!(left_over(&stage).await, None, "before the deadline");

    stage.advance(20 * 60);
    seconds(&stage, &gate, 2).await;
    let alert = left_over(&stage).await.expect("an alert");
    assert_eq!(alert.state, AlertState::Open);
    assert!(
        alert.summary.contains(&ended.runner.name) && alert.summary.contains("GitHub's record of it is not removed"),
        "{}",
        alert.summary
    );

    stage
        .world(json!({"faults": [{"endpoint": "delete-runner", "status": 422, "times": 0}]}))
        .await;
    stage.advance(60);
    seconds(&stage, &gate, 2).await;
    let gone = runner(&stage).await;
    assert!(gone.proof.iter().all(|step| step.missing.is_none()), "{:?}", gone.proof);
    let alert = left_over(&stage).await.expect("an alert");
    assert_eq!(alert.state, AlertState::Resolved);
}
