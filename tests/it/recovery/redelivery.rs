//! The delivery log: which deliveries are requested again, and how often.

use super::stage::Stage;
use chrono::TimeDelta;
use jitgate::app::recovery::log::{self, LogOptions};
use jitgate::ports::Clock;
use serde_json::json;

/// The GUIDs that the simulator counts.
fn guid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// A gate that missed the delivery about job 101.
async fn with_a_lost_delivery() -> Stage {
    let stage = Stage::new().await;
    stage
        .world(json!({"faults": [{"endpoint": "delivery", "delivery": "drop"}]}))
        .await;
    stage.queue_job(101, true).await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_delivery_is_requested_and_decided_as_githubs_own() {
    let stage = with_a_lost_delivery().await;
    let log = stage.recover().await.log.expect("an App");
    assert_eq!((log.missed, log.asked), (1, 1));
    stage.settle().await;
    assert_eq!(stage.redeliveries().await[&guid(1)], 1);
    assert!(
        stage
            .synthesized(101)
            .await
            .iter()
            .all(|is_synthesized| !is_synthesized)
    );
    assert_eq!(stage.tally().await.ran, 1);
    let after = stage.recover().await.log.expect("an App");
    assert_eq!((after.missed, after.asked), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_on_its_way_is_not_requested_again_not_even_after_a_restart() {
    let mut stage = with_a_lost_delivery().await;
    // GitHub accepts the request, and its delivery stays away.
    for _ in 0..3 {
        stage.recover().await;
        stage.come_up().await;
        stage.advance(20);
    }
    assert_eq!(stage.calls("redeliver").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_that_fails_again_is_repeated_after_a_delay() {
    let stage = with_a_lost_delivery().await;
    stage
        .world(json!({"faults": [{"endpoint": "delivery", "delivery": "drop", "times": 1}]}))
        .await;
    stage.world(json!({"delivers": false})).await;
    stage.recover().await;
    let again = stage.recover().await.log.expect("an App");
    assert_eq!((again.asked, again.in_flight), (0, 1), "its delay is not over");
    stage.advance(120);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 1);
    assert_eq!(stage.redeliveries().await[&guid(1)], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gates_at_once_request_a_delivery_once() {
    let stage = Stage::new().await;
    stage.world(json!({"delivers": false})).await;
    for job in 101..121 {
        stage.queue_job(job, true).await;
    }
    let other = stage.another_gate("other");
    let quiet = |_: &_| {};
    let (one, two) = tokio::join!(
        log::pass(&stage.gate, LogOptions::default(), &quiet),
        log::pass(&other, LogOptions::default(), &quiet),
    );
    let (one, two) = (one.expect("a pass"), two.expect("a pass"));
    assert_eq!(one.asked + two.asked, 20);
    assert_eq!(stage.calls("redeliver").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_github_refuses_for_a_while_is_made_once_it_accepts() {
    let stage = with_a_lost_delivery().await;
    let limit = json!([{"endpoint": "redeliver", "status": 429, "headers": {"retry-after": "30"}}]);
    stage.world(json!({"faults": limit})).await;
    stage.try_to_recover().await.expect_err("a rate limit");
    stage.try_to_recover().await.expect_err("the limit is honoured");
    assert_eq!(stage.calls("redeliver").await, 1);
    let pages = stage.calls("deliveries").await;
    stage.advance(30);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 1);
    assert_eq!(
        stage.calls("deliveries").await,
        pages,
        "the pass continues where it stopped"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_costs_no_second_request_if_the_redelivery_shows_up() {
    let stage = with_a_lost_delivery().await;
    stage
        .world(json!({"faults": [{"endpoint": "redeliver", "drop": "after"}]}))
        .await;
    let log = stage.recover().await.log.expect("an App");
    assert_eq!((log.asked, log.in_flight), (0, 1));
    stage.settle().await;
    stage.advance(600);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 0);
    assert_eq!(stage.redeliveries().await[&guid(1)], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_reached_github_is_repeated() {
    let stage = with_a_lost_delivery().await;
    stage
        .world(json!({"faults": [{"endpoint": "redeliver", "drop": "before"}]}))
        .await;
    stage.recover().await;
    stage.advance(59);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 0);
    stage.advance(1);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 1);
    assert_eq!(stage.redeliveries().await[&guid(1)], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_older_than_three_days_are_left_to_polling() {
    let stage = with_a_lost_delivery().await;
    stage.advance(3 * 86_400);
    let log = stage.recover().await.log.expect("an App");
    assert_eq!((log.asked, stage.calls("redeliver").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_requests_nothing_and_remembers_nothing() {
    let stage = with_a_lost_delivery().await;
    let options = LogOptions {
        is_dry: true,
        ..LogOptions::default()
    };
    let log = log::pass(&stage.gate, options, &|_| {}).await.expect("a pass");
    assert_eq!((log.missed, log.asked, stage.calls("redeliver").await), (1, 1, 0));
    assert_eq!(stage.recover().await.log.expect("an App").asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_reads_only_what_the_last_one_has_not_covered() {
    let stage = Stage::new().await;
    stage.world(json!({"delivers": false})).await;
    for job in 0..150 {
        let runs =
            json!([{"id": 20, "pull": 7, "jobs": [{"id": 200 + job, "name": "changes", "labels": ["ubuntu-latest"]}]}]);
        stage.world(json!({"announces": true, "runs": runs})).await;
    }
    stage.world(json!({"delivers": true})).await;
    stage.recover().await;
    assert_eq!(stage.calls("deliveries").await, 2);
    stage.settle().await;
    stage.advance(3600);
    stage.recover().await;
    let pages = stage.calls("deliveries").await;
    let log = stage.recover().await.log.expect("an App");
    assert_eq!((log.attempts, stage.calls("deliveries").await - pages), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_by_hand_over_the_last_hour_covers_nothing_that_is_older() {
    let stage = with_a_lost_delivery().await;
    stage.advance(3 * 3600);
    let options = LogOptions {
        since: Some(stage.clock.now() - TimeDelta::hours(1)),
        is_dry: false,
    };
    let by_hand = log::pass(&stage.gate, options, &|_| {}).await.expect("a pass");
    assert_eq!(by_hand.missed, 0);
    assert_eq!(stage.recover().await.log.expect("an App").asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_answers_no_request_ends_the_pass_after_three() {
    let stage = Stage::new().await;
    stage.world(json!({"delivers": false})).await;
    for job in 101..106 {
        stage.queue_job(job, true).await;
    }
    stage
        .world(json!({"faults": [{"endpoint": "redeliver", "drop": "before", "times": 9}]}))
        .await;
    log::pass(&stage.gate, LogOptions::default(), &|_| {})
        .await
        .expect_err("no answer");
    assert_eq!(stage.calls("redeliver").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_deliveries_of_other_repositories_of_the_app_are_not_requested() {
    let stage = Stage::new().await;
    stage.queue_job(101, true).await;
    stage.settle().await;
    stage.world(json!({"delivers": false})).await;
    let runs = json!([{"id": 70, "repository": "octo-org/other", "jobs": [{"id": 701}]}]);
    stage.world(json!({"announces": true, "runs": runs})).await;
    let log = log::pass(&stage.gate, LogOptions::default(), &|_| {}).await;
    assert_eq!(log.expect("a pass").missed, 0);
    assert_eq!(stage.calls("redeliver").await, 0);
}
