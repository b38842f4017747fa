//! Several workers on one store: one of them makes the passes, and it knows what the others know.

use super::stage::Stage;
use chrono::TimeDelta;
use jitgate::app::records::RecoveryRecord;
use jitgate::app::recovery::passes;

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_that_polls_learns_of_a_trusted_pull_request_that_another_worker_decided() {
    let stage = Stage::new().await;
    let other = stage.another_gate("other");
    assert!(!passes::is_fast(&other).await);
    stage.queue_job(101, true).await;
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 1, "no job waits");
    assert!(!passes::is_fast(&other).await, "nothing is stored yet");
    assert!(passes::is_fast(&stage.gate).await);
    assert!(passes::is_fast(&other).await);
    let restarted = stage.another_gate("restarted");
    assert!(passes::is_fast(&restarted).await);
    stage.advance(2 * 3600);
    for gate in [&stage.gate, &other, &restarted] {
        assert!(!passes::is_fast(gate).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_makes_the_passes_of_a_kind_until_it_is_silent_for_two_intervals() {
    let stage = Stage::new().await;
    let other = stage.another_gate("other");
    let interval = TimeDelta::seconds(60);
    let claim = async |gate, kind| passes::claim(gate, kind, interval).await.expect("the store answers");
    assert!(claim(&stage.gate, RecoveryRecord::POLL).await);
    assert!(!claim(&other, RecoveryRecord::POLL).await);
    assert!(claim(&other, RecoveryRecord::LOG).await, "another kind of pass");
    stage.advance(60);
    assert!(claim(&stage.gate, RecoveryRecord::POLL).await, "it extends its claim");
    stage.advance(119);
    assert!(!claim(&other, RecoveryRecord::POLL).await);
    stage.advance(1);
    assert!(claim(&other, RecoveryRecord::POLL).await);
    assert!(!claim(&stage.gate, RecoveryRecord::POLL).await);
}
