//! `pool scale` without a change: dry runs, and a GitHub that refuses or fails.

use super::stage::{Stage, each, steps};
use crate::support::openapi::{Fault, OpenApiGithub};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const RUNNERS: &str = "GET /repos/{owner}/{repo}/actions/runners";
const SCALE: [&str; 8] = ["pool", "scale", "--min", "1", "--max", "4", "--target", "2"];

/// A pool that a worker has used before.
async fn used_before() -> Stage {
    let mut stage = Stage::set(&[("github.timeout_s", "1")]).await;
    let mut supervisor = stage.supervise(&["--min", "1", "--max", "1"]).await;
    stage
        .status_until(|status| each(&status["slots"], "state") == ["ready"])
        .await;
    supervisor.terminate();
    assert_eq!(supervisor.code().await, Some(0));
    stage.settings.retain(|(key, _)| key != "github.api_url");
    stage
}

fn model() -> OpenApiGithub {
    let github = OpenApiGithub::start();
    let runner =
        json!({"id": 5, "name": "home-self-host-3", "os": "linux", "status": "offline", "busy": false, "labels": []});
    github.answer(RUNNERS, 200, json!({"total_count": 1, "runners": [runner]}));
    github
}

/// The files of a directory with their contents. A reader of SQLite also opens its index.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a list").flatten() {
        let name = entry.path().display().to_string();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else if !name.ends_with("-shm") && !name.ends_with("-wal") {
            found.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_neither_files_nor_the_store_nor_github() {
    let (stage, github) = (used_before().await, model());
    let inventory = stage.place.path("inventory.json").display().to_string();
    let flags = [
        "--dry-run",
        "--json",
        "--api-url",
        github.url(),
        "--inventory-out",
        &inventory,
    ];
    let before = files(&stage.place.path(""));
    let planned = stage.run(&[&SCALE[..], &flags].concat()).await.json();
    assert_eq!(files(&stage.place.path("")), before);
    assert_eq!(github.changes(), [""; 0]);
    github.assert_as_documented();
    assert_eq!(stage.status().await["set"], Value::Null);

    assert_eq!(planned["status"]["result"], "dry-run");
    assert_eq!(steps(&planned["status"]), ["set -", "boot home-self-host-2"]);
    assert_eq!(
        planned["inventory"]["github_managed_names"],
        json!(["home-self-host-3"])
    );
    assert_eq!(
        each(&planned["inventory"]["runners"], "status"),
        ["ready", "missing", "offline"]
    );
    let warned = each(&planned["status"]["warnings"], "code");
    assert_eq!(warned, ["runner_without_slot", "no_worker"]);

    // The same steps without --dry-run are taken, and GitHub is not changed either.
    let done = stage.run(&[&SCALE[..], &flags[1..]].concat()).await.json();
    assert_eq!(done["status"]["operations"], planned["status"]["operations"]);
    assert_eq!(done["status"]["result"], "changed");
    let written: Value = serde_json::from_slice(&fs::read(&inventory).expect("a file")).expect("JSON");
    assert_eq!(written, done["inventory"]);
    assert_eq!(github.changes(), [""; 0]);
    assert_eq!(stage.status().await["target"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_github_is_reported_and_changes_nothing() {
    let (stage, github) = (used_before().await, model());
    for fault in Fault::ALL {
        github.fail(RUNNERS, fault);
        let answer = stage.run(&[&SCALE[..], &["--api-url", github.url()]].concat()).await;
        assert_eq!(answer.code, 4, "{fault:?}: {}", answer.err);
        assert!(
            answer.err.contains("octo-org/chem-model: cannot list the runners"),
            "{fault:?}: {}",
            answer.err
        );
        let remedies: Vec<&str> = answer
            .err
            .lines()
            .filter(|line| line.starts_with("jitgate: remedy: "))
            .collect();
        let part = match fault {
            Fault::Status(401) => "renew the token",
            Fault::Status(403) => "permission Administration",
            Fault::Status(404) => "check the name of the repository",
            Fault::Status(429) => "run the command again after",
            Fault::Status(409 | 422) => "run the command again",
            _ => "check the network",
        };
        assert!(
            remedies.len() == 1 && remedies[0].contains(part),
            "{fault:?}: {}",
            answer.err
        );
        assert!(!answer.err.contains("sim-test"), "{}", answer.err);
    }
    assert_eq!(stage.status().await["set"], Value::Null);
    assert_eq!(github.changes(), [""; 0]);
    github.heal();
    let healed = stage.run(&[&SCALE[..], &["--api-url", github.url()]].concat()).await;
    assert_eq!(healed.code, 0, "{}", healed.err);
    github.assert_as_documented();
}
