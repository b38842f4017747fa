//! `jitgate setup github` against the described GitHub.

use super::stage::{REPOSITORY, Stage};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const GROUPS: &str = "GET /orgs/{org}/actions/runner-groups";
const CREATE: &str = "POST /orgs/{org}/actions/runner-groups";
const LIMIT: &str = "PATCH /orgs/{org}/actions/runner-groups/{runner_group_id}";
const MEMBERS: &str = "GET /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories";
const ADD: &str = "PUT /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}";
const REMOVE: &str = "DELETE /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}";
const VARIABLE: &str = "GET /repos/{owner}/{repo}/actions/variables/{name}";
const SET_VARIABLE: &str = "PATCH /repos/{owner}/{repo}/actions/variables/{name}";
const CREATE_VARIABLE: &str = "POST /repos/{owner}/{repo}/actions/variables";
const APPROVAL: &str = "GET /repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval";
const SET_APPROVAL: &str = "PUT /repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval";
const TOKEN: &str = "GET /repos/{owner}/{repo}/actions/permissions/workflow";
const SET_TOKEN: &str = "PUT /repos/{owner}/{repo}/actions/permissions/workflow";
const PLACE: &str = "GET /repos/{owner}/{repo}";

const COMMAND: [&str; 5] = ["setup", "github", "--repo", REPOSITORY, "--protect"];

/// A repository of an organization with nothing prepared: id 7, private.
pub(super) fn unprepared() -> Stage {
    let stage = Stage::set();
    let place = json!({"id": 7, "private": true, "owner": {"type": "Organization"}});
    stage.github.answer(PLACE, 200, place);
    stage
        .github
        .answer(GROUPS, 200, json!({"total_count": 0, "runner_groups": []}));
    stage.github.answer(VARIABLE, 404, json!({"message": "Not Found"}));
    stage.github.answer(SET_VARIABLE, 404, json!({"message": "Not Found"}));
    stage
        .github
        .answer(APPROVAL, 200, json!({"approval_policy": "first_time_contributors"}));
    let open = json!({"default_workflow_permissions": "write", "can_approve_pull_request_reviews": true});
    stage.github.answer(TOKEN, 200, open);
    stage
}

/// A group with the name of the command.
fn group(visibility: &str, workflows: &[&str]) -> Value {
    json!({"id": 3, "name": "jitgate", "visibility": visibility, "default": false, "runners_url": "https://x.test/r",
        "inherited": false, "allows_public_repositories": false,
        "restricted_to_workflows": !workflows.is_empty(), "selected_workflows": workflows})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_repository_is_prepared_by_documented_requests() {
    let stage = unprepared();
    let preview = stage.assert_changes_nothing(&[&COMMAND[..], &["--dry-run"]].concat(), &[]);
    assert!(preview.out.contains("the command would"), "{}", preview.out);
    for step in [
        "create the runner group \"jitgate\"",
        "as false",
        "require an approval",
        "restrict the default token",
    ] {
        assert!(preview.out.contains(step), "{step}: {}", preview.out);
    }
    let answer = stage.run(&[&COMMAND[..], &["--json"]].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    // A variable that may exist is written first, and created if it does not.
    assert_eq!(
        stage.github.changes(),
        [CREATE, SET_VARIABLE, CREATE_VARIABLE, SET_APPROVAL, SET_TOKEN]
    );
    let calls = stage.github.calls();
    let body = |operation: &str| {
        let call = calls.iter().find(|call| call.operation() == operation);
        call.expect("the request").body.clone()
    };
    assert_eq!(
        body(CREATE),
        json!({"name": "jitgate", "visibility": "selected", "selected_repository_ids": [7],
            "allows_public_repositories": false, "restricted_to_workflows": false, "selected_workflows": []})
    );
    assert_eq!(body(CREATE_VARIABLE)["value"], "false");
    assert_eq!(
        body(SET_APPROVAL),
        json!({"approval_policy": "all_external_contributors"})
    );
    let shown = answer.json();
    assert_eq!(
        shown["labels"],
        json!(["self-hosted", "linux", "x64", "chem-trusted-pr"])
    );
    assert_eq!(shown["permissions"]["administration"], "write");
    assert_eq!(shown["by_hand"].as_array().map(Vec::len), Some(2), "{shown}");
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_has_nothing_to_do_and_keeps_a_variable_that_is_true() {
    let stage = unprepared();
    stage.github.answer(
        GROUPS,
        200,
        json!({"total_count": 1, "runner_groups": [group("selected", &[])]}),
    );
    let members = json!({"total_count": 1, "repositories": [{"id": 7, "full_name": REPOSITORY}]});
    stage.github.answer(MEMBERS, 200, members);
    let time = "2026-01-01T00:00:00Z";
    let variable = json!({"name": "V", "value": "true", "created_at": time, "updated_at": time});
    stage.github.answer(VARIABLE, 200, variable);
    stage
        .github
        .answer(APPROVAL, 200, json!({"approval_policy": "all_external_contributors"}));
    let least = json!({"default_workflow_permissions": "read", "can_approve_pull_request_reviews": false});
    stage.github.answer(TOKEN, 200, least);
    let answer = stage.assert_changes_nothing(&COMMAND, &[]);
    assert!(
        answer.out.contains("nothing is to do") && answer.out.contains("runner_group_id = 3"),
        "{}",
        answer.out
    );
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_group_is_limited_to_one_repository_and_one_workflow() {
    let stage = unprepared();
    stage.github.answer(
        GROUPS,
        200,
        json!({"total_count": 1, "runner_groups": [group("selected", &[])]}),
    );
    let members = json!({"total_count": 1, "repositories": [{"id": 9, "full_name": "octo-org/stranger"}]});
    stage.github.answer(MEMBERS, 200, members);
    let limits = Arc::new(Mutex::new(Value::Null));
    let seen = Arc::clone(&limits);
    stage.github.react(LIMIT, move |call| {
        *seen.lock().expect("the body") = call.body.clone();
        (
            200,
            group("selected", &["octo-org/octo-repo/.github/workflows/trusted.yml@main"]),
        )
    });
    let workflow = ["--workflow", ".github/workflows/trusted.yml@refs/heads/main"];
    let answer = stage.run(&[&COMMAND[..4], &workflow].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes()[..3], [LIMIT, ADD, REMOVE]);
    assert_eq!(
        limits.lock().expect("the body")["selected_workflows"],
        json!(["octo-org/octo-repo/.github/workflows/trusted.yml@refs/heads/main"])
    );
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_for_all_repositories_is_closed_and_its_name_has_no_case() {
    let stage = unprepared();
    let mut open = group("all", &[]);
    open["name"] = json!("JITGATE");
    let groups = json!({"total_count": 1, "runner_groups": [open]});
    stage.github.answer(GROUPS, 200, groups);
    stage.github.answer(LIMIT, 200, group("selected", &[]));
    let answer = stage.run(&COMMAND[..4]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes()[..2], [LIMIT, ADD]);
    assert_eq!(stage.github.calls_of(MEMBERS), 0, "such a group has no members");
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_account_has_no_groups_and_the_default_group_is_not_touched() {
    let stage = unprepared();
    stage
        .github
        .answer(PLACE, 200, json!({"id": 7, "private": true, "owner": {"type": "User"}}));
    let answer = stage.run(&COMMAND);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(!stage.github.changes().contains(&CREATE.to_owned()));
    let refused = stage.run(&[&COMMAND[..], &["--workflow", ".github/workflows/trusted.yml@main"]].concat());
    assert_eq!(refused.code, 2, "{}", refused.err);

    let stage = unprepared();
    let mut default = group("all", &[]);
    default["default"] = json!(true);
    stage
        .github
        .answer(GROUPS, 200, json!({"total_count": 1, "runner_groups": [default]}));
    let refused = stage.run(&COMMAND);
    assert_eq!((refused.code, stage.github.changes().len()), (4, 0), "{}", refused.err);
    assert!(refused.err.contains("default runner group"), "{}", refused.err);
    for workflow in [
        "ci.yml@main",
        ".github/workflows/ci.yml",
        ".github/workflows/ci.yml@",
        ".github/workflows/@main",
    ] {
        assert_eq!(
            stage.run(&[&COMMAND[..], &["--workflow", workflow]].concat()).code,
            2,
            "{workflow}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_a_remedy() {
    let stage = unprepared();
    let asked = [
        PLACE,
        GROUPS,
        VARIABLE,
        APPROVAL,
        TOKEN,
        CREATE,
        SET_APPROVAL,
        SET_TOKEN,
    ];
    // A missing variable is an answer.
    stage.assert_refusals_have_a_remedy(&COMMAND, &asked, &[(VARIABLE, 404)]);
    // GitHub's 404 to the first write is about a variable that does not exist yet: it is created.
    stage.assert_refusals_have_a_remedy(&COMMAND, &[SET_VARIABLE, CREATE_VARIABLE], &[(SET_VARIABLE, 404)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_an_existing_group_has_a_remedy() {
    let open = unprepared();
    let groups = json!({"total_count": 1, "runner_groups": [group("selected", &[])]});
    open.github.answer(GROUPS, 200, groups);
    let members = json!({"total_count": 1, "repositories": [{"id": 9, "full_name": "octo-org/stranger"}]});
    open.github.answer(MEMBERS, 200, members);
    open.github.answer(LIMIT, 200, group("selected", &[]));
    let workflow = ["--workflow", ".github/workflows/trusted.yml@refs/heads/main"];
    open.assert_refusals_have_a_remedy(&[&COMMAND[..], &workflow].concat(), &[MEMBERS, LIMIT, ADD, REMOVE], &[]);
}
