//! `jitgate jit request` beside a simulated GitHub: the file, lost answers, names that are taken.

use super::stage::Stage;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

async fn runners_left(stage: &Stage) -> u64 {
    stage.github.tally().await.expect("a tally").runners_left
}

fn content(stage: &Stage) -> Value {
    serde_json::from_slice(&fs::read(stage.path("jit.json")).expect("a file")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_private_and_replaced_only_on_request() {
    let stage = Stage::set().await;
    let out = stage.path("jit.json").display().to_string();
    let request = ["jit", "request", "--out", &out];
    let answer = stage.jitgate(&request);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("no job gate protects runner"), "{}", answer.err);
    let mode = fs::metadata(&out).expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let first = content(&stage);
    assert!(
        first["runner"]["id"].is_u64() && first["encoded_jit_config"].is_string(),
        "{first}"
    );

    let answer = stage.jitgate(&request);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("exists already") && answer.err.contains("--force"),
        "{}",
        answer.err
    );
    assert_eq!((content(&stage), runners_left(&stage).await), (first.clone(), 1));
    assert_eq!(stage.jitgate(&[&request[..], &["--force"]].concat()).code, 0);
    assert_ne!(content(&stage), first);
    for wrong in [
        &["--labels", "a,,b"][..],
        &["--name-prefix", "a b"],
        &["--name-prefix", ""],
    ] {
        let answer = stage.jitgate(&[&request[..], &["--force"], wrong].concat());
        assert_eq!(answer.code, 2, "{wrong:?}: {}", answer.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_no_second_runner() {
    let stage = Stage::set().await;
    stage
        .world(json!({"faults": [{"endpoint": "jit", "drop": "after", "times": 2}]}))
        .await;
    let out = stage.path("jit.json").display().to_string();
    let answer = stage.jitgate(&["jit", "request", "--out", &out]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("its record is looked up"), "{}", answer.err);
    let tally = stage.github.tally().await.expect("a tally");
    assert_eq!((tally.minted, tally.runners_left), (3, 1));

    // Three answers are lost, and so is the answer to the look-up.
    stage
        .world(json!({"faults": [{"endpoint": "jit", "drop": "after", "times": 9}]}))
        .await;
    let answer = stage.jitgate(&["jit", "request", "--force", "--out", &out]);
    assert_eq!((answer.code, runners_left(&stage).await), (4, 1), "{}", answer.err);
    stage
        .world(json!({"faults": [{"endpoint": "list-runners", "status": 502, "times": 1}]}))
        .await;
    let answer = stage.jitgate(&["jit", "request", "--force", "--out", &out]);
    assert_eq!((answer.code, runners_left(&stage).await), (4, 2), "{}", answer.err);
    assert!(
        answer.err.contains("may have a record of runner chem-jit-"),
        "{}",
        answer.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_is_not_removed() {
    let stage = Stage::set().await;
    let refusal = json!({"endpoint": "jit", "status": 409, "message": "Already exists", "times": 1});
    stage.world(json!({"faults": [refusal]})).await;
    let out = stage.path("jit.json").display().to_string();
    let answer = stage.jitgate(&["jit", "request", "--out", &out]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("another runner has the name"), "{}", answer.err);
    let calls = stage.github.tally().await.expect("a tally").calls;
    assert_eq!((calls.get("list-runners"), calls.get("delete-runner")), (None, None));
}
