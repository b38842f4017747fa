//! `jitgate pool scale` against the described GitHub.

use super::stage::{REPOSITORY, Stage};
use serde_json::{Value, json};

const RUNNERS: &str = "GET /repos/{owner}/{repo}/actions/runners";
const SCALE: [&str; 9] = [
    "pool", "scale", "--repo", REPOSITORY, "--min", "1", "--max", "4", "--target",
];

pub(super) fn stage() -> Stage {
    let stage = Stage::set();
    stage.create_store();
    let runner =
        json!({"id": 1, "name": "home-self-host", "os": "linux", "status": "online", "busy": true, "labels": []});
    stage
        .github
        .answer(RUNNERS, 200, json!({"total_count": 1, "runners": [runner]}));
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_are_stored_and_github_is_only_read() {
    let stage = stage();
    let (inventory, status) = (stage.at("inventory.json"), stage.at("status.json"));
    let files = [
        "--inventory-out",
        inventory.to_str().expect("a path"),
        "--status-out",
        status.to_str().expect("a path"),
    ];
    let scale = [&SCALE[..], &["9"], &files].concat();
    stage.assert_changes_nothing(&[&scale[..], &["--dry-run"]].concat(), &[]);
    let answer = stage.run(&scale);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let read = |path| -> Value { serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON") };
    let inventory = read(&inventory);
    assert_eq!(
        inventory["control"],
        json!({"min": 1, "max": 4, "target_requested": 9, "target_effective": 4})
    );
    assert_eq!(inventory["github_managed_names"], json!(["home-self-host"]));
    assert_eq!(read(&status)["result"], "changed");
    assert_eq!(stage.github.changes(), [""; 0]);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_a_remedy_and_stores_nothing() {
    let stage = stage();
    let scale = [&SCALE[..], &["2"]].concat();
    stage.assert_refusals_have_a_remedy(&scale, &[RUNNERS], &[]);
    assert_eq!(stage.run(&["pool", "status", "--json"]).json()["set"], Value::Null);
}
