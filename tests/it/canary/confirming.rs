//! Queue waits that deliveries report and GitHub does not show: GitHub is asked before they switch routing off.

use super::stage::Stage;
use jitgate::domain::rollout::Changed;

const OFTEN: u32 = 100_000;

/// Ten pull requests, a minute apart, whose deliveries report a wait of 300 s.
async fn ten_reported(stage: &Stage, real_s: i64) {
    for pull_request in 1..=10 {
        stage.reported(pull_request, 300, real_s).await;
        stage.advance(60);
    }
}

async fn assert_untouched(stage: &Stage) {
    assert_eq!(stage.variable().await, "true");
    assert_eq!(stage.changes(Changed::Rollback).await, []);
    assert_eq!(stage.alerts().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_starts_of_ten_real_jobs_change_nothing_and_github_is_asked_once() {
    for mode in ["enforce", "observe"] {
        let stage = Stage::set(mode).await;
        ten_reported(&stage, 5).await;
        for _ in 0..4 {
            stage.pass().await;
            stage.advance(3);
        }
        assert_untouched(&stage).await;
        assert_eq!(stage.asked_for_jobs().await, 10, "each job once");
        let status = stage.jitgate(&["--json", "rollout", "status"]).json();
        let trigger = &status["triggers"][1];
        let summary = trigger["evidence"]["summary"].as_str().expect("a summary");
        assert!(
            trigger["hit"] == false && summary.contains("is 5 s without and 5 s with"),
            "the measured runs are corrected: {trigger}"
        );
        // An eleventh job that waits for real is no forgery.
        stage.reported(11, 300, 121).await;
        stage.pass().await;
        assert_eq!(stage.asked_for_jobs().await, 11);
        assert_eq!(stage.changes(Changed::Rollback).await.len(), 1, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_slow_jobs_switch_routing_off_within_five_seconds() {
    let stage = Stage::set("enforce").await;
    ten_reported(&stage, 300).await;
    let passes = stage.start_passes();
    stage.off_in_time().await;
    passes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_job_that_github_does_not_know_is_no_evidence() {
    let stage = Stage::set("enforce").await;
    ten_reported(&stage, 5).await;
    stage.exists(10, false).await;
    for _ in 0..6 {
        stage.pass().await;
        stage.advance(10);
    }
    assert_untouched(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_job_that_github_denies_for_a_moment_is_evidence() {
    let stage = Stage::set("enforce").await;
    for pull_request in 1..=9 {
        stage.ran(pull_request, 5).await;
        stage.advance(60);
    }
    stage.ran(10, 300).await;
    stage.exists(10, false).await;
    stage.pass().await;
    assert_untouched(&stage).await;
    stage.exists(10, true).await;
    stage.advance(3);
    stage.pass().await;
    assert_eq!(stage.variable().await, "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_that_github_was_not_asked_about_yet_do_not_count() {
    let more = "queue_wait_window = 12\n[runners]\nhost = \"synthetic\"\nmin = 0\n";
    let stage = Stage::set_with("enforce", more).await;
    for pull_request in 1..=12 {
        stage.reported(pull_request, 300, 5).await;
        stage.advance(60);
    }
    for asked in [10, 12, 12] {
        stage.pass().await;
        assert_eq!(stage.asked_for_jobs().await, asked);
        assert_untouched(&stage).await;
        stage.advance(3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_while_routing_is_off() {
    let stage = Stage::set("enforce").await;
    stage.switch("false").await;
    stage.advance(60);
    ten_reported(&stage, 300).await;
    stage.pass().await;
    assert_eq!(stage.asked_for_jobs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_waits_count_after_half_a_minute() {
    for mode in ["enforce", "observe"] {
        let stage = Stage::set(mode).await;
        ten_reported(&stage, 5).await;
        stage.refuse_jobs(500, OFTEN).await;
        stage.pass().await;
        stage.advance(29);
        stage.pass().await;
        assert_untouched(&stage).await;
        stage.advance(1);
        stage.pass().await;
        let rollbacks = stage.changes(Changed::Rollback).await;
        assert_eq!((rollbacks.len(), rollbacks[0].would), (1, mode == "observe"));
        let expected = if mode == "observe" { "true" } else { "false" };
        assert_eq!(stage.variable().await, expected);
        assert_eq!(stage.alerts().await.len(), 1, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_ends_the_doubt() {
    let stage = Stage::set("enforce").await;
    ten_reported(&stage, 5).await;
    stage.refuse_jobs(500, OFTEN).await;
    stage.pass().await;
    stage.advance(29);
    stage.refuse_jobs(500, 0).await;
    stage.pass().await;
    stage.advance(60);
    stage.pass().await;
    assert_untouched(&stage).await;
    assert_eq!(stage.record().await.doubt, None);
}
