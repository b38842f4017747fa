//! `jitgate delivery export`: real deliveries become fixtures, and the real `jitgate replay` comes to the same decisions.

use super::stage::{ADMIN_TOKEN, Answer, SECRET, Stage, TOKEN};
use serde_json::{Value, json};
use std::fs;

/// A token in a public place.
const LEAKED: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Exports a delivery and plays it; gives the fixture and what the replay said.
fn exported(stage: &Stage, guid: &str) -> (Value, Value) {
    let file = stage.path(&format!("{guid}.json"));
    let path = file.to_str().expect("text");
    let told = stage.jitgate(&["delivery", "export", guid, "--out", path]);
    assert_eq!((told.code, told.out.as_str()), (0, ""), "{}", told.err);
    assert!(!told.err.contains("warning"), "{}", told.err);
    let text = fs::read_to_string(&file).expect("a file");
    for secret in [SECRET, TOKEN, ADMIN_TOKEN, LEAKED] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let printed = stage.jitgate(&["delivery", "export", guid]).json();
    let fixture: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(printed, fixture);
    let played = stage.jitgate(&["replay", path, "--json"]);
    assert_eq!(played.code, 0, "{}{}\n{text}", played.out, played.err);
    (fixture, played.json())
}

/// Returns the expectation of the delivery, which is the last one.
fn expect_of(fixture: &Value) -> Value {
    let steps = fixture["steps"].as_array().expect("steps");
    let expectation = |step: &Value| [&step["expect"], &step["deliver"]["expect"]].map(Clone::clone);
    let found = steps
        .iter()
        .rev()
        .flat_map(expectation)
        .find(|expect| !expect.is_null());
    found.expect("an expectation")
}

async fn decided(stage: &Stage, guid: &str, action: &str, job: u64) {
    stage.deliver(guid, action, job).await;
    stage.work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_deliveries_are_decided_as_they_were() {
    let stage = Stage::set().await;
    let sha = "1f".repeat(20);
    stage
        .world(json!({
            "pulls": [{"number": 9, "author": "alice", "head": {"sha": sha}}],
            "runs": [
                {"id": 40, "pull": 9, "jobs": [{"id": 103, "name": format!("web ({LEAKED})")}]},
                {"id": 50, "event": "push", "jobs": [{"id": 104}]},
                {"id": 60, "pull": 7, "jobs": [{"id": 105, "labels": ["ubuntu-latest"]}]},
            ],
        }))
        .await;
    stage
        .world(json!({"pulls": [{"number": 9, "head": {"sha": "pushed since"}}]}))
        .await;
    // The last one switches routing off for those after it.
    for (guid, job) in [
        ("trusted", 101),
        ("moved", 103),
        ("push", 104),
        ("fork", 102),
        ("hosted", 105),
    ] {
        decided(&stage, guid, "queued", job).await;
    }
    let verdicts = [
        ("trusted", "trusted", "correct", "admit", json!(["provision"])),
        (
            "fork",
            "untrusted",
            "attempt",
            "deny",
            json!(["cancel-run", "alert:untrusted-on-self-hosted"]),
        ),
        (
            "hosted",
            "trusted",
            "not-routed",
            "none",
            json!(["alert:trusted-not-routed", "rollback"]),
        ),
        ("moved", "trusted", "correct", "hold", json!(["retry"])),
        (
            "push",
            "ineligible",
            "misconfigured",
            "deny",
            json!(["alert:misconfigured-labels"]),
        ),
    ];
    for (guid, trust, routing, admission, actions) in verdicts {
        let (fixture, report) = exported(&stage, guid);
        let expect = expect_of(&fixture);
        let found = (
            &expect["trust"],
            &expect["routing"],
            &expect["admission"],
            &expect["actions"],
        );
        assert_eq!(
            found,
            (&json!(trust), &json!(routing), &json!(admission), &actions),
            "{guid}"
        );
        let delivered = &report["scenarios"][0]["deliveries"][0];
        assert_eq!(delivered["guid"], guid, "the very delivery");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_answers_of_github_stay_missing_in_the_fixture() {
    let stage = Stage::set().await;
    stage
        .world(json!({"faults": [{"endpoint": "get-run", "status": 503, "times": 1000}]}))
        .await;
    decided(&stage, "held", "queued", 101).await;
    let (fixture, _) = exported(&stage, "held");
    let expect = expect_of(&fixture);
    assert_eq!(
        (&expect["trust"], &expect["admission"]),
        (&json!("unknown"), &json!("hold"))
    );
    assert_eq!(expect["reasons"], json!(["github-unavailable"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_effects_are_not_exported_and_a_warning_says_so() {
    let stage = Stage::set().await;
    decided(&stage, "first", "queued", 101).await;
    decided(&stage, "second", "queued", 101).await;
    let told = stage.jitgate(&["delivery", "export", "second"]);
    let expect = expect_of(&told.json());
    assert_eq!(
        expect,
        json!({"status": 202, "labels_class": "pool", "trust": "trusted"})
    );
    assert!(
        told.err.contains("warning") && told.err.contains("earlier actions of jitgate"),
        "{}",
        told.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_cannot_be_exported_is_reported_with_a_remedy() {
    let stage = Stage::set().await;
    let refused = |guid: &str, part: &str, remedy: &str| {
        let Answer { code, out, err } = stage.jitgate(&["delivery", "export", guid]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(part), "{err}");
        let (_, advice) = err.split_once("jitgate: remedy: ").expect("a remedy");
        assert!(advice.contains(remedy), "{err}");
    };
    refused("unknown", "delivery unknown is unknown", "jitgate delivery list");
    stage.deliver("waiting", "queued", 101).await;
    refused("waiting", "it has no decision yet", "jitgate delivery show waiting");
    stage.give_up("it is unreadable").await;
    refused(
        "waiting",
        "dead letter before a decision: it is unreadable",
        "jitgate dead-letter retry waiting",
    );
    decided(&stage, "done", "queued", 101).await;
    stage.drop_body("done");
    refused("done", "the body of delivery done is deleted", "redeliver");

    decided(&stage, "kept", "queued", 102).await;
    let told = stage.jitgate(&["delivery", "export", "kept", "--out", "/nowhere/at/all.json"]);
    assert_eq!(told.code, 2);
    assert!(told.err.contains("cannot write /nowhere/at/all.json"), "{}", told.err);
}
