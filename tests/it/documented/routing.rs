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
    stage.create_store();
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

const PLACE: &str = "GET /repos/{owner}/{repo}";
const GROUP: &str = "GET /orgs/{org}/actions/runner-groups/{runner_group_id}";
const MEMBERS: &str = "GET /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories";
const ADD: &str = "PUT /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}";
const REMOVE: &str = "DELETE /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}";

/// Limits the repository to a runner group that serves it.
fn grouped(stage: &Stage) {
    stage.configure("scope = \"org\"\nrunner_group_id = 3\n");
    stage.github.answer(
        PLACE,
        200,
        json!({"id": 7, "private": true, "owner": {"type": "Organization"}}),
    );
    let group = json!({"id": 3, "name": "ci", "visibility": "selected", "default": false, "inherited": false,
        "runners_url": "https://x.test/r", "allows_public_repositories": false});
    stage.github.answer(GROUP, 200, group);
    let serves = Arc::new(Mutex::new(true));
    for (operation, on) in [(ADD, true), (REMOVE, false)] {
        let serves = Arc::clone(&serves);
        stage.github.react(operation, move |_| {
            *serves.lock().expect("the access") = on;
            (204, Value::Null)
        });
    }
    stage.github.react(MEMBERS, move |_| {
        let member = json!({"id": 7, "full_name": REPOSITORY});
        let members = if *serves.lock().expect("the access") {
            vec![member]
        } else {
            Vec::new()
        };
        (200, json!({"total_count": members.len(), "repositories": members}))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_takes_the_runner_group_away_until_routing_is_enabled() {
    let stage = stage();
    grouped(&stage);
    let hard = [&DISABLE[..], &["--hard"]].concat();
    let preview = stage.assert_changes_nothing(&[&hard[..], &["--dry-run"]].concat(), &[]);
    assert!(
        preview.out.contains("runner group 3 would no longer serve it"),
        "{}",
        preview.out
    );
    let answer = stage.run(&hard);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes(), [WRITE, REMOVE]);
    let access = || stage.run(&["routing", "status", "--json"]).json()["runner_group"].clone();
    assert_eq!(access(), json!({"id": 3, "has_access": false}));
    let answer = stage.run(&["routing", "enable", "--why", "the host is new"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes()[2..], [ADD, WRITE]);
    assert_eq!(access(), json!({"id": 3, "has_access": true}));
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_the_runner_group_has_a_remedy_and_routing_is_off_all_the_same() {
    let stage = stage();
    grouped(&stage);
    let hard = [&DISABLE[..], &["--hard"]].concat();
    stage.assert_refusals_have_a_remedy(&hard, &[PLACE, GROUP, REMOVE], &[]);
    assert_eq!(stage.run(&["routing", "status", "--json"]).json()["value"], "false");
    assert_eq!(stage.run(&hard).code, 0);
    stage.assert_refusals_have_a_remedy(&["routing", "enable"], &[GROUP, MEMBERS, PLACE, ADD], &[]);
    let status = stage.run(&["routing", "status", "--json"]).json();
    assert_eq!(
        (&status["value"], &status["runner_group"]["has_access"]),
        (&json!("false"), &json!(false)),
        "routing stays off until its runners are back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_serves_the_repository_or_all_of_them_is_not_changed() {
    let stage = stage();
    grouped(&stage);
    assert_eq!(stage.run(&DISABLE).code, 0);
    assert_eq!(stage.run(&["routing", "enable"]).code, 0);
    assert_eq!(stage.github.changes(), [WRITE, WRITE]);

    let open = json!({"id": 3, "name": "ci", "visibility": "all", "default": false, "inherited": false,
        "runners_url": "https://x.test/r", "allows_public_repositories": false});
    stage.github.answer(GROUP, 200, open);
    stage
        .github
        .answer(MEMBERS, 200, json!({"total_count": 0, "repositories": []}));
    let status = stage.run(&["routing", "status", "--json"]).json();
    assert_eq!(status["runner_group"], json!({"id": 3, "has_access": true}));
    let answer = stage.run(&[&DISABLE[..], &["--hard"]].concat());
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(answer.err.contains("is open to all repositories"), "{}", answer.err);
    assert_eq!(stage.github.changes()[2..], [WRITE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_that_cannot_be_recorded_is_an_error_only_without_a_group() {
    let stage = stage();
    std::fs::remove_file(stage.at("jitgate.db")).expect("the store");
    let runners = json!({"total_count": 0, "runners": []});
    stage
        .github
        .answer("GET /repos/{owner}/{repo}/actions/runners", 200, runners);
    let hard = [&DISABLE[..], &["--hard"]].concat();
    let answer = stage.run(&hard);
    assert_eq!(answer.code, 5, "{}", answer.err);
    assert!(answer.err.contains("stop jitgate on each machine"), "{}", answer.err);
    grouped(&stage);
    let answer = stage.run(&hard);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("the stop is not recorded"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_group_a_hard_stop_removes_idle_runners_of_jitgate() {
    const RUNNERS: &str = "GET /repos/{owner}/{repo}/actions/runners";
    const DELETE: &str = "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}";
    let stage = stage();
    let runner = |id: u64, name: &str, busy: bool| json!({"id": id, "name": name, "os": "linux", "status": "online", "busy": busy, "labels": []});
    let runners = [
        runner(1, "chem-jit-abcdefgh-11-1", false),
        runner(2, "chem-jit-abcdefgh-12-1", true),
        runner(3, "home-self-host", false),
    ];
    stage
        .github
        .answer(RUNNERS, 200, json!({"total_count": 3, "runners": runners}));
    stage
        .github
        .react(DELETE, |call| match call.variables["runner_id"].as_str() {
            "2" => (422, json!({"message": "Runner is busy"})),
            _ => (204, Value::Null),
        });
    let answer = stage.run(&[&DISABLE[..], &["--hard", "--why", "a job escaped"]].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes(), [WRITE, DELETE, DELETE]);
    assert!(
        answer.err.contains("chem-jit-abcdefgh-12-1 runs a job until its end"),
        "{}",
        answer.err
    );
    assert!(!answer.err.contains("home-self-host"), "{}", answer.err);
    let access = || stage.run(&["routing", "status", "--json"]).json()["runner_group"]["has_access"].clone();
    assert_eq!(access(), json!(false));
    assert_eq!(stage.run(&["routing", "enable"]).code, 0);
    assert_eq!(access(), json!(true));
    stage.github.assert_as_documented();
}
