//! `jitgate jit request` against the described GitHub.

use super::stage::{REPOSITORY, Stage};
use serde_json::{Value, json};
use std::fs;

const JIT: &str = "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig";
const ORG_JIT: &str = "POST /orgs/{org}/actions/runners/generate-jitconfig";
const REQUEST: [&str; 6] = ["jit", "request", "--repo", REPOSITORY, "--out", "jit.json"];

fn made(name: &str) -> Value {
    json!({
        "runner": {"id": 23, "name": name, "os": "linux", "status": "offline", "busy": false, "labels": []},
        "encoded_jit_config": "c2VjcmV0",
    })
}

pub(super) fn stage() -> Stage {
    let stage = Stage::set();
    for operation in [JIT, ORG_JIT] {
        stage.github.react(operation, |call| {
            (201, made(call.body["name"].as_str().unwrap_or_default()))
        });
    }
    stage.github.answer(
        "GET /repos/{owner}/{repo}/actions/runners",
        200,
        json!({"total_count": 0, "runners": []}),
    );
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_requested_as_documented() {
    let stage = stage();
    let dry = stage.assert_changes_nothing(&[&REQUEST[..], &["--dry-run"]].concat(), &[]);
    assert!(dry.out.contains("would request"), "{}", dry.out);
    assert_eq!(stage.github.calls().len(), 0, "a dry run asks for nothing");

    let more = [
        "--scope",
        "repo",
        "--runner-group-id",
        "1",
        "--labels",
        "self-hosted,linux",
        "--name-prefix",
        "chem",
    ];
    let answer = stage.run(&[&REQUEST[..], &more].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(stage.github.changes(), [JIT]);
    let call = stage
        .github
        .calls()
        .into_iter()
        .find(|call| call.operation() == JIT)
        .expect("a request");
    let name = call.body["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("chem-") && name.len() == "chem-".len() + 8, "{name}");
    assert_eq!(
        call.body,
        json!({"name": name, "runner_group_id": 1, "labels": ["self-hosted", "linux"]})
    );
    let file: Value = serde_json::from_slice(&fs::read(stage.at("jit.json")).expect("a file")).expect("JSON");
    assert_eq!(
        file,
        json!({"runner": {"id": 23, "name": name}, "encoded_jit_config": "c2VjcmV0"})
    );
    assert!(!(answer.out + &answer.err).contains("c2VjcmV0"));
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_has_its_own_request() {
    let stage = stage();
    let answer = stage.run(&[&REQUEST[..], &["--scope", "org", "--runner-group-id", "3", "--json"]].concat());
    let shown = answer.json();
    assert_eq!(
        (&shown["scope"], &shown["runner"]["id"]),
        (&json!("organization octo-org"), &json!(23))
    );
    assert_eq!(stage.github.changes(), [ORG_JIT]);
    // A repository has no other group.
    assert_eq!(stage.run(&[&REQUEST[..], &["--runner-group-id", "3"]].concat()).code, 2);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_a_remedy_and_leaves_no_file() {
    let stage = stage();
    stage.assert_refusals_have_a_remedy(
        &REQUEST,
        &[JIT, "POST /app/installations/{installation_id}/access_tokens"],
        &[],
    );
    assert!(!stage.at("jit.json").exists());
    stage.github.assert_as_documented();
}
