//! A job that could be ours and has no decision a minute after it was queued raises an alert, which ends by itself.

use super::stage::Stage;
use jitgate::domain::alert::{AlertKind, AlertState};
use jitgate::ports::queue::Filter;
use serde_json::json;

const LIVE: [AlertState; 2] = [AlertState::Open, AlertState::Acked];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_without_a_decision_raises_an_alert_until_it_has_one() {
    let stage = Stage::new().await;
    stage.queue_job(101, false).await;
    stage.advance(59);
    // The worker does not work: the synthesized event waits.
    stage.recover().await;
    stage.advance(15);
    stage.recover().await;
    assert_eq!(stage.alerts(&LIVE).await, [AlertKind::JobStuck]);
    stage.settle().await;
    stage.recover().await;
    assert_eq!(stage.alerts(&LIVE).await, []);
    assert_eq!(stage.alerts(&[AlertState::Resolved]).await, [AlertKind::JobStuck]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_waits_in_the_queue_raises_it_too_also_after_a_restart() {
    let mut stage = Stage::new().await;
    stage.queue_job(101, true).await;
    stage.queue_job(102, false).await;
    let hosted = json!({"id": 103, "name": "changes", "labels": ["ubuntu-latest"]});
    stage
        .world(json!({"announces": true, "runs": [{"id": 20, "jobs": [hosted]}]}))
        .await;
    for delivery in stage.github.outbox().await.expect("deliveries") {
        stage.post(&delivery.guid, &delivery.event, &delivery.payload).await;
    }
    // GitHub does not answer polls, so only the queue shows the job.
    stage
        .world(json!({"faults": [{"endpoint": "list-runs", "status": 503, "times": 100}]}))
        .await;
    stage.advance(60);
    stage.try_to_recover().await.expect_err("no poll");
    stage.advance(14);
    stage.try_to_recover().await.expect_err("no poll");
    assert_eq!(stage.alerts(&LIVE).await, [], "the worker may just have started");
    stage.advance(1);
    stage.try_to_recover().await.expect_err("no poll");
    assert_eq!(stage.alerts(&LIVE).await, [AlertKind::JobStuck]);
    let waiting = stage
        .gate
        .queue
        .deliveries(&Filter::default(), 10)
        .await
        .expect("deliveries");
    assert_eq!(waiting.len(), 2);

    stage.come_up().await;
    stage.settle().await;
    stage.try_to_recover().await.expect_err("no poll");
    assert_eq!(stage.alerts(&LIVE).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_is_caught_up_in_time_raises_no_alert() {
    let mut stage = Stage::new().await;
    stage.go_down().await;
    stage.queue_job(101, true).await;
    stage.advance(3600);
    stage.come_up().await;
    stage.recover().await;
    stage.settle().await;
    stage.advance(60);
    stage.recover().await;
    let all = [AlertState::Open, AlertState::Acked, AlertState::Resolved];
    assert_eq!(stage.alerts(&all).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_github_leaves_open_is_none() {
    let stage = Stage::new().await;
    let fault = json!([{"endpoint": "get-run", "status": 500, "times": 1000}]);
    stage.world(json!({"faults": fault})).await;
    stage.queue_job(101, true).await;
    stage.settle().await;
    assert_eq!(stage.job(101).await.expect("a job").decisions.len(), 1);
    stage.advance(60);
    stage.recover().await;
    stage.advance(15);
    stage.recover().await;
    assert_eq!(stage.alerts(&LIVE).await, [AlertKind::JobStuck]);
    stage
        .world(json!({"faults": [{"endpoint": "get-run", "times": 0}]}))
        .await;
    stage.advance(600);
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 1);
    stage.recover().await;
    assert_eq!(stage.alerts(&LIVE).await, []);
}
