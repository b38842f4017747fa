//! `jitgate rollout simulate` and `jitgate rollout export`: what an operator learns from recorded runs.

use super::stage::Stage;
use serde_json::{Value, json};
use std::fs;

/// A run of a pull request, one every 1000 s. Its job waits 20 s and runs 100 s, or never gets a runner.
fn run(number: u64, is_served: bool) -> Value {
    let at = |second: u64| {
        let second = number * 1000 + second;
        format!(
            "1970-01-01T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    };
    json!({"run": number * 100, "attempt": 1, "pull_request": number, "created_at": at(0), "jobs": [{
        "job": number * 100 + 1, "verdict": "correct", "created_at": at(0), "ended_at": at(120),
        "started_at": is_served.then(|| at(20)),
        "lifecycle": if is_served { "success" } else { "boot_failed" },
        "setup_ms": 5000,
    }]})
}

/// Writes a recording in which pull requests 5 and 6 of 12 got no runner, and returns its path.
fn recording(stage: &Stage) -> String {
    let runs: Vec<Value> = (1..=12).map(|number| run(number, ![5, 6].contains(&number))).collect();
    let file =
        json!({"v": 1, "repository": "octo-org/chem-model", "exported_at": "1970-01-01T10:00:00Z", "runs": runs});
    let path = stage.path("history.json");
    fs::write(&path, file.to_string()).expect("a file");
    path.display().to_string()
}

fn steps(answer: &Value) -> Vec<(String, u64, u64)> {
    let timeline = answer["timeline"].as_array().expect("a timeline");
    let number = |step: &Value, key: &str| step[key].as_u64().expect("a stage");
    timeline
        .iter()
        .map(|step| {
            let what = step["what"].as_str().expect("a word").to_owned();
            (what, number(step, "from"), number(step, "to"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_shows_what_other_thresholds_would_have_done() {
    let stage = Stage::set().await;
    let path = recording(&stage);
    let answer = stage.jitgate(&["--json", "rollout", "simulate", &path]).json();
    let step = |what: &str, from, to| (what.to_owned(), from, to);
    let expected = [
        step("enable", 0, 0),
        step("advance", 0, 1),
        step("rollback", 1, 0),
        step("enable", 0, 0),
        step("advance", 0, 1),
    ];
    assert_eq!(steps(&answer), expected);
    let rollback = &answer["timeline"][2];
    assert_eq!(rollback["at"], "1970-01-01T01:42:00Z", "the end of the second job");
    assert_eq!(rollback["trigger"], "boot-failures");
    assert_eq!(rollback["evidence"]["items"][0]["pull_request"], 6);
    assert_eq!(answer["timeline"][3]["by"], "assumed");
    assert_eq!(answer["totals"]["rollbacks"], json!({"boot-failures": 1}));
    assert_eq!((&answer["stage"], &answer["progress"]), (&json!(1), &json!(5)));
    assert_eq!(answer["slo"]["targets"][0]["value"], json!(10.0 / 12.0));

    let patient = [
        "rollout",
        "simulate",
        &path,
        "--boot-failures",
        "3",
        "--stages",
        "2,4",
        "--slo-window",
        "4",
    ];
    let answer = stage.jitgate(&[&["--json"], &patient[..]].concat()).json();
    assert_eq!(answer["totals"]["rollbacks"], json!({}));
    assert_eq!(answer["stage"], 2, "12 pull requests are more than 2 and 4");
    assert_eq!(answer["thresholds"]["boot_failures"], 3);
    assert_eq!(answer["slo"]["window"], 4);
    assert_eq!(answer["slo"]["targets"][0]["value"], json!(1.0));

    let text = stage.jitgate(&["rollout", "simulate", &path]).out;
    for part in [
        "rollback  stage 1 -> 0",
        "2 consecutive trusted pull requests",
        "assumed",
        "Rollbacks: 1 by boot-failures.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_measured_runs_of_the_store_are_exported_and_replayed_alike() {
    let stage = Stage::set().await;
    let empty = stage.jitgate(&["rollout", "simulate"]);
    assert_eq!(empty.code, 8, "{}", empty.err);
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    let path = stage.path("export.json").display().to_string();
    let export = stage.jitgate(&["rollout", "export", "--out", &path]);
    assert_eq!((export.code, export.out.as_str()), (0, ""), "{}", export.err);
    assert!(export.err.contains("wrote 1 runs to"), "{}", export.err);
    let file: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("JSON");
    assert_eq!(
        (&file["v"], &file["repository"]),
        (&json!(1), &json!("octo-org/chem-model"))
    );
    assert_eq!(file["runs"][0]["jobs"][0]["job"], 101);
    let of_file = stage.jitgate(&["--json", "rollout", "simulate", &path]).json();
    let of_store = stage.jitgate(&["--json", "rollout", "simulate"]).json();
    assert_eq!(steps(&of_file), [("enable".to_owned(), 0, 0)]);
    assert_eq!(of_file["timeline"], of_store["timeline"]);
    let printed = stage.jitgate(&["rollout", "export", "--limit", "1"]).json();
    assert_eq!(printed["runs"], file["runs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_recording_is_refused_with_its_place() {
    let stage = Stage::set().await;
    let path = recording(&stage);
    let text = fs::read_to_string(&path).expect("a file");
    for (from, to, expected) in [
        ("\"v\":1", "\"v\":9", "v: is 9"),
        (
            "\"attempt\":1",
            "\"attempt\":0",
            "runs[0].attempt (run 100): must be at least 1",
        ),
        ("boot_failed", "boot-failed", "unknown variant `boot-failed`"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).expect("a file");
        let refused = stage.jitgate(&["rollout", "simulate", &path]);
        assert_eq!(refused.code, 3, "{}", refused.err);
        for part in [path.as_str(), expected, "docs/rollout-history.md"] {
            assert!(refused.err.contains(part), "{part} in {}", refused.err);
        }
    }
    fs::write(&path, &text).expect("a file");
    let other = stage.jitgate(&["rollout", "simulate", &path, "--repo", "octo-org/other"]);
    assert_eq!(other.code, 2, "{}", other.err);
    let descending = stage.jitgate(&["rollout", "simulate", &path, "--stages", "10,1"]);
    assert_eq!(descending.code, 2, "{}", descending.err);
}
