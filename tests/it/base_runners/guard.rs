//! `jitgate routing guard`: switches routing off when runners show a fault, once.

use super::stage::{LIST, Stage};
use crate::documented::stage::REPOSITORY;
use jitgate::adapters::clock::SystemClock;
use jitgate::config::{self, FileSource, Sources};
use jitgate::runtime;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const READ: &str = "GET /repos/{owner}/{repo}/actions/variables/{name}";
const WRITE: &str = "PATCH /repos/{owner}/{repo}/actions/variables/{name}";
const GUARD: [&str; 5] = ["--json", "routing", "guard", "--repo", REPOSITORY];

/// A registered runner, and a variable that keeps its value.
fn stage(unit: &str, status: &str) -> (Stage, Arc<Mutex<String>>) {
    let stage = Stage::set();
    let loaded = config::load(Sources {
        file: FileSource::Path(stage.described.at("jitgate.toml")),
        ..Sources::default()
    });
    // The store of a jitgate that served before.
    drop(runtime::open_store(&loaded.expect("a configuration").config, Arc::new(SystemClock)).expect("a store"));
    stage.registered(&stage.url(), unit);
    stage.inventory(&json!([Stage::runner(77, "base", status, false)]));
    let value = Arc::new(Mutex::new("true".to_owned()));
    let shown = Arc::clone(&value);
    stage.github().react(READ, move |call| {
        let value = shown.lock().expect("the value").clone();
        let time = "2026-01-01T00:00:00Z";
        (
            200,
            json!({"name": call.variables["name"], "value": value, "created_at": time, "updated_at": time}),
        )
    });
    let written = Arc::clone(&value);
    stage.github().react(WRITE, move |call| {
        let new = call.body["value"].as_str().unwrap_or_default();
        new.clone_into(&mut written.lock().expect("the value"));
        (204, Value::Null)
    });
    (stage, value)
}

fn guard(stage: &Stage, more: &[&str], code: i32) -> Value {
    let answer = stage.run(&[&GUARD[..], more].concat());
    assert_eq!(answer.code, code, "{more:?}: {}{}", answer.out, answer.err);
    serde_json::from_str(&answer.out).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_runners_leave_routing_on() {
    let (stage, value) = stage("active", "online");
    let told = guard(&stage, &[], 0);
    assert_eq!((&told["healthy"], &told["action"]), (&json!(true), &json!("none")));
    assert_eq!(told["triggers_judged"], true, "{told}");
    assert_eq!(stage.run(&GUARD[1..]).out, format!("{REPOSITORY}: healthy\n"));
    assert_eq!(*value.lock().expect("the value"), "true");
    assert!(stage.github().changes().is_empty());
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_switches_routing_off_once_and_records_the_reason() {
    let (stage, value) = stage("active", "offline");
    for (flags, action) in [(&["--dry-run"][..], "would-disable"), (&["--no-toggle"], "reported")] {
        let told = guard(&stage, flags, 1);
        assert_eq!(told["action"], action);
        assert_eq!(told["recorded"], false);
        assert!(stage.github().changes().is_empty(), "{flags:?}");
    }
    let told = guard(&stage, &["--by", "timer"], 1);
    assert_eq!((&told["healthy"], &told["action"]), (&json!(false), &json!("disabled")));
    assert_eq!((&told["recorded"], &told["by"]), (&json!(true), &json!("timer")));
    assert!(
        told["why"].as_str().is_some_and(|why| why.starts_with("base: ")),
        "{told}"
    );
    assert_eq!(*value.lock().expect("the value"), "false");
    assert_eq!(stage.github().changes(), [WRITE]);

    let told = guard(&stage, &[], 1);
    assert_eq!(told["action"], "already-off");
    assert_eq!(stage.github().changes(), [WRITE], "a second run changes nothing");
    let last = stage.run(&["routing", "status", "--repo", REPOSITORY, "--json"]).json()["last_change"].clone();
    assert_eq!(last["by"], "timer", "{last}");
    let text = stage.run(&GUARD[1..]);
    assert_eq!(text.out.lines().count(), 1, "{}", text.out);
    assert!(text.err.contains("jitgate: remedy: "), "{}", text.err);
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_the_health_check_decide_what_is_a_fault() {
    let (stage, value) = stage("inactive", "offline");
    assert_eq!(
        guard(&stage, &["--allow-zero-capacity", "--no-toggle"], 0)["healthy"],
        true
    );
    let told = guard(&stage, &["--no-toggle"], 1);
    let problems = told["problems"].as_array().expect("a list");
    assert!(
        problems.iter().any(|problem| problem["subject"] == "capacity"),
        "{told}"
    );
    // No own runner has this label, and no jitgate answers here.
    let told = guard(&stage, &["--labels", "cpu", "--no-toggle"], 1);
    assert_eq!(told["problems"][0]["subject"], "jitgate", "{told}");
    let (strict, _) = self::stage("active", "online");
    strict.inventory(&json!([
        Stage::runner(77, "base", "online", false),
        Stage::runner(78, "other", "online", false)
    ]));
    assert_eq!(guard(&strict, &[], 0)["healthy"], true);
    assert_eq!(
        guard(&strict, &["--strict-gh", "--no-toggle"], 1)["problems"][0]["subject"],
        "other"
    );
    guard(&stage, &["--var-name", "OTHER"], 1);
    let calls = stage.github().calls();
    let write = calls.iter().find(|call| call.operation() == WRITE).expect("a write");
    assert_eq!(write.variables["name"], "OTHER");
    assert_eq!(*value.lock().expect("the value"), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_does_not_answer_is_no_fault_of_the_runners() {
    let (stage, value) = stage("active", "offline");
    let args = ["routing", "guard", "--repo", REPOSITORY];
    stage.described.assert_refusals_have_a_remedy(&args, &[LIST], &[]);
    assert!(stage.github().changes().is_empty(), "routing stays as it is");
    assert_eq!(*value.lock().expect("the value"), "true");
}
