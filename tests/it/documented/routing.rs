//! `jitgate routing` against the described GitHub.

use super::stage::{REPOSITORY, Stage};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const READ: &str = "GET /repos/{owner}/{repo}/actions/variables/{name}";
const WRITE: &str = "PATCH /repos/{owner}/{repo}/actions/variables/{name}";
const DISABLE: [&str; 4] = ["routing", "disable", "--repo", REPOSITORY];

/// A stage whose variable keeps its value.
fn stage() -> Stage {
    let stage = Stage::set();
    let value = Arc::new(Mutex::new("true".to_owned()));
    let shown = Arc::clone(&value);
    stage.github.react(READ, move |call| {
        let value = shown.lock().expect("the value").clone();
        let time = "2026-01-01T00:00:00Z";
        (
            200,
            json!({"name": call.variables["name"], "value": value, "created_at": time, "updated_at": time}),
        )
    });
    stage.github.react(WRITE, move |call| {
        let new = call.body["value"].as_str().unwrap_or_default();
        new.clone_into(&mut value.lock().expect("the value"));
        (204, Value::Null)
    });
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_is_switched_off_by_one_documented_request() {
    let stage = stage();
    stage.assert_changes_nothing(&[&DISABLE[..], &["--dry-run"]].concat(), &[]);
    let answer = stage.run(&DISABLE);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes(), [WRITE]);
    let calls = stage.github.calls();
    let write = calls.iter().find(|call| call.operation() == WRITE).expect("a write");
    assert_eq!(write.body["value"], "false");
    assert_eq!(write.variables["owner"], "octo-org");
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_the_variable_has_a_remedy() {
    let stage = stage();
    let status = ["routing", "status", "--repo", REPOSITORY];
    // A missing variable is an answer: routing is off.
    stage.assert_refusals_have_a_remedy(&status, &[READ], &[(READ, 404)]);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_does_not_exist_is_routing_that_is_off() {
    let stage = stage();
    stage.github.answer(READ, 404, json!({"message": "Not Found"}));
    let status = stage.run(&["routing", "status", "--repo", REPOSITORY, "--json"]).json();
    assert_eq!((&status["value"], &status["state"]), (&Value::Null, &json!("off")));
}
