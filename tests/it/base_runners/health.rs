//! `jitgate runner health`: services against GitHub's inventory, and the slots of jitgate.

use super::stage::{LIST, Stage, UNIT};
use crate::commands;
use serde_json::{Value, json};

const HEALTH: [&str; 3] = ["--json", "runner", "health"];

/// Returns exit code and JSON.
fn health(stage: &Stage, more: &[&str]) -> (i32, Value) {
    let answer = stage.run(&[&HEALTH[..], more].concat());
    assert!(
        stage.calls().is_empty() && stage.github().changes().is_empty(),
        "it only looks"
    );
    let json = serde_json::from_str(&answer.out).expect("JSON on stdout");
    (answer.code, json)
}

fn subjects(json: &Value) -> Vec<&str> {
    let problems = json["problems"].as_array().expect("a list");
    problems
        .iter()
        .map(|problem| problem["subject"].as_str().expect("text"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_compared_with_github() {
    let stage = Stage::set();
    let runner = |status| json!([Stage::runner(77, "base", status, false)]);
    for (unit, inventory, code, expected) in [
        ("active", runner("online"), 0, &[][..]),
        ("active", runner("offline"), 1, &["base", "capacity"]),
        ("active", json!([]), 1, &["base", "capacity"]),
        ("failed", runner("online"), 1, &["base"]),
    ] {
        stage.registered(&stage.url(), unit);
        stage.inventory(&inventory);
        let (found, json) = health(&stage, &[]);
        assert_eq!(
            (found, subjects(&json)),
            (code, expected.to_vec()),
            "{unit} {inventory}"
        );
        assert_eq!(json["healthy"], code == 0);
        let base = &json["base_runners"][0];
        assert_eq!((&base["name"], &base["unit"]), (&json!("base"), &json!(UNIT)));
        assert_eq!(base["active"], unit == "active");
        assert_eq!(base["github_status"], inventory[0]["status"]);
        assert_eq!(json["slots"], Value::Null);
    }
    let text = stage.run(&["runner", "health"]);
    assert!(
        text.out.ends_with("degraded\n") && text.out.contains("remedy: sudo systemctl restart"),
        "{}",
        text.out
    );
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_select_the_runners_and_the_strictness() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    let both = json!([
        Stage::runner(77, "base", "online", false),
        Stage::runner(78, "other", "online", true)
    ]);
    stage.inventory(&both);
    assert_eq!(health(&stage, &[]).0, 0);
    let (code, json) = health(&stage, &["--strict-gh"]);
    assert_eq!((code, subjects(&json)), (1, vec!["other"]));
    assert_eq!(
        health(&stage, &["--strict-gh", "--labels", "self-hosted,cpu"]).0,
        1,
        "the slots count then"
    );

    stage.registered(&stage.url(), "inactive");
    stage.inventory(&json!([Stage::runner(77, "base", "offline", false)]));
    assert_eq!(health(&stage, &[]).0, 1);
    assert_eq!(health(&stage, &["--allow-zero-capacity"]).0, 0);
    // A service of another repository is not compared.
    stage.registered("https://github.com/octo-org/other", "failed");
    assert_eq!(health(&stage, &[]).1["base_runners"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_base_runner_counts_on_any_machine() {
    let stage = Stage::set();
    let named = [("JITGATE__RUNNERS__BASE", "elsewhere")];
    let answer = stage.run_with(&HEALTH, &named);
    assert_eq!(answer.code, 1, "{}", answer.err);
    stage.inventory(&json!([Stage::runner(9, "elsewhere", "online", true)]));
    let json = stage.run_with(&HEALTH, &named).json();
    assert_eq!(json["base_runners"][0]["busy"], true);
    assert_eq!(json["base_runners"][0]["unit"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_a_remedy() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage
        .described
        .assert_refusals_have_a_remedy(&["runner", "health"], &[LIST], &[]);
    stage.let_be("broken");
    let answer = stage.run(&HEALTH);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.err.contains("Connection refused"), "{}", answer.err);
    assert!(answer.err.contains("jitgate: remedy: "), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_base_runners_the_slots_of_jitgate_count() {
    let stage = commands::stage::Stage::set().await;
    let address = stage.admin_address();
    let up = stage.jitgate_with(&HEALTH, &[("JITGATE__SERVER__ADMIN_LISTEN", &address)]);
    let json = up.json();
    assert_eq!(
        (&json["healthy"], &json["slots"]["gate"]),
        (&json!(true), &json!(address))
    );
    assert_eq!(
        (&json["slots"]["max"], &json["slots"]["source"]),
        (&json!(4), &json!("configuration"))
    );
    let down = stage.jitgate(&HEALTH);
    assert_eq!(down.code, 1, "{}", down.err);
    let json: Value = serde_json::from_str(&down.out).expect("JSON");
    assert_eq!(subjects(&json), ["jitgate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slots_have_the_bounds_that_an_operator_stored() {
    let stage = commands::stage::Stage::set().await;
    let address = stage.admin_address();
    let state = stage.path("state-dir").display().to_string();
    let settings = [
        ("JITGATE__SERVER__ADMIN_LISTEN", address.as_str()),
        ("JITGATE__SERVER__STATE_DIR", state.as_str()),
    ];
    let bounds = || {
        let slots = stage.jitgate_with(&HEALTH, &settings).json()["slots"].clone();
        ["min", "max", "target", "source"].map(|key| slots[key].clone())
    };
    let scale = |args: &[&str]| stage.jitgate_with(&[&["pool", "scale"], args].concat(), &settings).code;
    assert_eq!(scale(&["--min", "2", "--max", "3"]), 0);
    assert_eq!(bounds(), [json!(2), json!(3), json!(2), json!("scale")]);
    let shown = stage.jitgate_with(&["runner", "health"], &settings);
    assert!(shown.out.contains("slots: min 2, max 3, target 2;"), "{}", shown.out);
    assert_eq!(scale(&["--reset"]), 0);
    assert_eq!(bounds(), [json!(1), json!(4), json!(4), json!("configuration")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_github_gives_the_same_answer() {
    let stage = commands::stage::Stage::set().await;
    let runner = json!({"id": 7, "name": "elsewhere", "labels": ["gpu"], "status": "offline"});
    stage.world(json!({"runners": [runner]})).await;
    let named = [("JITGATE__RUNNERS__BASE", "elsewhere")];
    let answer = stage.jitgate_with(&HEALTH, &named);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    stage.world(json!({"runners": [{"id": 7, "status": "online"}]})).await;
    assert_eq!(stage.jitgate_with(&HEALTH, &named).code, 0);
}
