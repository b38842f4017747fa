//! The scenarios in `fixtures/`: all of them play as they say, together they show everything a decision can say, and what
//! is wrong with one is told with its file and place.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Expects every key there is: what is altered and mistyped below.
const MODEL: &str = "trusted-pull-request-gets-one-runner";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.json"))).expect("a fixture")
}

/// Every fixture by its name.
fn fixtures() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder()).expect("the folder of fixtures");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            assert_eq!(
                path.extension().and_then(|end| end.to_str()),
                Some("json"),
                "{}",
                path.display()
            );
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let json = serde_json::from_str(&text(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, json)
        })
        .collect()
}

fn replay(arguments: &[&Path], json: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitgate"));
    command.arg("replay").args(arguments);
    if json {
        command.arg("--json");
    }
    command.output().expect("jitgate runs")
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Calls `look` with every object in a JSON value.
fn every_object<'a>(value: &'a Value, look: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            look(fields);
            fields.values().for_each(|value| every_object(value, look));
        }
        Value::Array(items) => items.iter().for_each(|value| every_object(value, look)),
        _ => {}
    }
}

/// The objects listed under `key`, wherever that is.
fn listed<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    every_object(value, &mut |fields| {
        found.extend(fields.get(key).and_then(Value::as_array).into_iter().flatten());
    });
    found
}

/// Returns the expectations of all fixtures under `key`.
fn expected(key: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for fixture in fixtures().values() {
        every_object(fixture, &mut |fields| {
            for expect in [fields.get("expect"), fields.get("end")].into_iter().flatten() {
                match expect.get(key) {
                    Some(Value::String(word)) => words.extend([word.clone()]),
                    Some(Value::Array(more)) => words.extend(more.iter().filter_map(Value::as_str).map(str::to_owned)),
                    _ => {}
                }
            }
        });
    }
    words
}

#[track_caller]
fn assert_expected(key: &str, wanted: &[&str]) {
    let found = expected(key);
    let missing: Vec<_> = wanted.iter().filter(|word| !found.contains(**word)).collect();
    assert!(missing.is_empty(), "no fixture expects {key} {missing:?}");
}

#[test]
fn there_are_many_fixtures_and_each_states_its_purpose() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 40, "{} fixtures", fixtures.len());
    let mut titles = BTreeSet::new();
    for (name, fixture) in &fixtures {
        let is_kebab_case = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(is_kebab_case, "{name}");
        let title = fixture["title"].as_str().unwrap_or_default();
        assert!(
            !title.is_empty() && titles.insert(title),
            "{name}: its title is empty or another one's"
        );
        assert!(
            fixture["why"]
                .as_str()
                .is_some_and(|why| why.trim_end_matches(')').ends_with('.')),
            "{name}: why"
        );
    }
}

/// `replay --target` plays them all on one gate, which remembers jobs and runs for days.
#[test]
fn no_two_share_a_run_or_a_job() {
    let mut owners: BTreeMap<(&str, u64), String> = BTreeMap::new();
    for (name, fixture) in &fixtures() {
        for kind in ["runs", "jobs"] {
            // The jobs of a history have no id.
            for id in listed(fixture, kind).iter().filter_map(|entry| entry["id"].as_u64()) {
                let owner = owners.entry((kind, id)).or_insert_with(|| name.clone());
                assert_eq!(owner, name, "both have {id} in {kind}");
            }
        }
        for history in histories(fixture) {
            let number = |key: &str| history[key].as_u64().expect("a number");
            for pull in number("from")..number("from") + number("pulls") {
                for (kind, id) in [("runs", pull * 100), ("jobs", pull * 100 + 1)] {
                    let owner = owners.entry((kind, id)).or_insert_with(|| name.clone());
                    assert_eq!(owner, name, "both have {id} in {kind}");
                }
            }
        }
    }
}

/// The histories of a fixture.
fn histories(fixture: &Value) -> impl Iterator<Item = &Value> {
    let steps = fixture["steps"].as_array().into_iter().flatten();
    steps.filter_map(|step| step.get("history"))
}

#[test]
fn together_they_expect_every_word_a_decision_can_say() {
    assert_expected("labels_class", &["pool", "reachable", "foreign", "hosted"]);
    assert_expected("trust", &["trusted", "untrusted", "ineligible", "unknown"]);
    let routing = [
        "correct",
        "not-routed",
        "attempt",
        "misroute",
        "drain",
        "misconfigured",
        "unjudged",
    ];
    assert_expected("routing", &routing);
    assert_expected("admission", &["admit", "deny", "hold", "none"]);
    let actions = [
        "provision",
        "destroy-runner",
        "rebind",
        "cancel-run",
        "force-cancel-run",
        "rerun-run",
        "rollback",
        "retry",
        "alert:untrusted-on-self-hosted",
        "alert:trusted-not-routed",
        "alert:stolen-runner",
        "alert:misconfigured-labels",
        "alert:trust-undecided",
    ];
    assert_expected("actions", &actions);
    assert_expected("would", &["cancel-run", "rollback"]);
    assert_expected("warnings", &["association-and-permission-disagree"]);
    let alerts = [
        "untrusted-on-self-hosted",
        "trusted-not-routed",
        "stolen-runner",
        "misconfigured-labels",
        "trust-undecided",
        "rollback",
    ];
    assert_expected("alerts", &alerts);
}

#[test]
fn together_they_expect_every_reason() {
    let reasons = [
        "fork",
        "head-repository-gone",
        "bot-actor",
        "bot-triggering-actor",
        "no-pull-request",
        "pull-request-closed",
        "head-moved",
        "job-not-queued",
        "job-gone",
        "run-gone",
        "stale",
        "labels:reachable",
        "labels:foreign",
        "routing-off",
        "quarantined",
        "at-capacity",
        "rolled-back",
        "repository-changed",
        "github-unavailable",
        "rate-limited",
    ];
    assert_expected("reasons", &reasons);
    let found = expected("reasons");
    for family in [
        "event:",
        "association:",
        "author-permission:",
        "actor-permission:",
        "triggering-actor-permission:",
    ] {
        assert!(
            found.iter().any(|reason| reason.starts_with(family)),
            "no fixture expects {family}"
        );
    }
    let known = |reason: &&String| reasons.contains(&reason.as_str()) || reason.contains(':');
    assert_eq!(
        found.iter().find(|reason| !known(reason)),
        None,
        "a reason that the contract does not have"
    );
}

/// State of routing (none: any), trust, labels, verdict.
type Row = (Option<&'static str>, &'static str, &'static str, &'static str);

const ROUTING_TABLE: &[Row] = &[
    (Some("on"), "trusted", "pool", "correct"),
    (Some("on"), "trusted", "foreign", "misconfigured"),
    (Some("off"), "trusted", "foreign", "misconfigured"),
    (Some("on"), "trusted", "hosted", "not-routed"),
    (Some("on"), "trusted", "foreign", "not-routed"),
    (Some("on"), "trusted", "reachable", "not-routed"),
    (Some("on"), "trusted", "hosted", "correct"),
    (Some("off"), "trusted", "hosted", "correct"),
    (Some("unknown"), "trusted", "hosted", "correct"),
    (Some("on"), "trusted", "foreign", "correct"),
    (Some("off"), "trusted", "foreign", "correct"),
    (Some("on"), "trusted", "reachable", "correct"),
    (Some("off"), "trusted", "reachable", "correct"),
    (Some("off"), "trusted", "pool", "drain"),
    (None, "untrusted", "pool", "attempt"),
    (None, "untrusted", "reachable", "attempt"),
    (None, "untrusted", "pool", "misroute"),
    (None, "ineligible", "pool", "misconfigured"),
    (None, "ineligible", "reachable", "misconfigured"),
    (None, "untrusted", "foreign", "correct"),
    (None, "untrusted", "hosted", "correct"),
    (None, "ineligible", "foreign", "correct"),
    (None, "ineligible", "hosted", "correct"),
    (Some("unknown"), "trusted", "pool", "unjudged"),
    (None, "unknown", "pool", "unjudged"),
    (None, "unknown", "reachable", "unjudged"),
    (None, "unknown", "foreign", "unjudged"),
    (None, "unknown", "hosted", "unjudged"),
];

#[test]
fn all_of_them_play_as_expected_and_show_every_row_of_the_routing_table() {
    let output = replay(&[&folder()], true);
    assert_eq!(stderr(&output), "");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let scenarios = report["scenarios"].as_array().expect("a list of scenarios");
    let differing: Vec<&Value> = (scenarios.iter().filter(|played| played["passed"] != true))
        .map(|played| &played["fixture"])
        .collect();
    assert_eq!(differing, [""; 0], "play them by themselves to see where");
    assert_eq!(exit_code(&output), 0);
    assert_eq!(scenarios.len(), fixtures().len());
    assert_eq!(report["summary"]["left"], 0);

    let decisions: Vec<&Value> = (listed(&report, "deliveries").into_iter())
        .map(|delivery| &delivery["decision"])
        .filter(|decision| !decision.is_null())
        .collect();
    for decision in &decisions {
        assert_is_a_decision_record(decision);
    }
    for row in ROUTING_TABLE {
        let (state, trust, labels, verdict) = row;
        let shows = |decision: &&Value| {
            state.is_none_or(|state| decision["routing"]["state"] == state)
                && decision["trust"]["verdict"] == *trust
                && decision["labels_class"] == *labels
                && decision["routing"]["verdict"] == *verdict
        };
        assert!(decisions.iter().any(shows), "no fixture shows {row:?}");
    }
}

/// The fields of contract 3, by their types.
#[track_caller]
fn assert_is_a_decision_record(decision: &Value) {
    let texts = [
        "/delivery",
        "/received_at",
        "/decided_at",
        "/action",
        "/repository",
        "/job/name",
        "/job/head_sha",
        "/labels_class",
        "/trust/verdict",
        "/routing/state",
        "/routing/verdict",
        "/admission/verdict",
    ];
    let numbers = ["/job/id", "/job/run_id", "/job/run_attempt"];
    let lists = ["/job/labels", "/trust/reasons", "/admission/reasons", "/actions"];
    let has = |pointer: &&str, test: fn(&Value) -> bool| decision.pointer(pointer).is_some_and(test);
    let missing: Vec<&&str> = (texts.iter().filter(|field| !has(field, Value::is_string)))
        .chain(numbers.iter().filter(|field| !has(field, Value::is_u64)))
        .chain(lists.iter().filter(|field| !has(field, Value::is_array)))
        .collect();
    assert!(missing.is_empty(), "{missing:?} in {decision}");
    assert!(decision["trust"].get("pull_request").is_some(), "{decision}");
}

#[test]
fn an_altered_expectation_of_any_key_is_reported_with_its_fixture() {
    let alterations = [
        ("status", json!(200)),
        ("labels_class", json!("hosted")),
        ("trust", json!("untrusted")),
        ("reasons", json!(["fork"])),
        ("routing", json!("attempt")),
        ("admission", json!("deny")),
        ("actions", json!([])),
        ("would", json!(["rollback"])),
        ("warnings", json!(["association-and-permission-disagree"])),
        ("end.minted", json!(2)),
        ("end.ran", json!(0)),
        ("end.left", json!(1)),
        ("end.alerts", json!(["rollback"])),
        ("end.escalations", json!(["rollback:acknowledgement"])),
        ("end.variable", json!("false")),
    ];
    let copies = TempDir::new().expect("a folder");
    fs::write(copies.path().join("unaltered.json"), text(MODEL)).expect("a copy");
    for (key, value) in &alterations {
        let mut fixture: Value = serde_json::from_str(&text(MODEL)).expect("JSON");
        let place = match key.strip_prefix("end.") {
            Some(key) => &mut fixture["end"][key],
            None => &mut fixture["steps"][0]["deliver"]["expect"][*key],
        };
        assert!(!place.is_null(), "{MODEL} expects no {key}");
        assert_ne!(place, value, "{key}");
        *place = value.clone();
        fs::write(copies.path().join(format!("altered-{key}.json")), fixture.to_string()).expect("a copy");
    }

    let output = replay(&[copies.path()], false);
    assert_eq!(exit_code(&output), 1, "{}", stderr(&output));
    let printed = stdout(&output);
    for (key, _) in &alterations {
        let told = (printed.split("\n\n"))
            .find(|block| {
                block
                    .lines()
                    .next()
                    .is_some_and(|line| line.ends_with(&format!("altered-{key}")))
            })
            .unwrap_or_else(|| panic!("altered-{key} is not named in\n{printed}"));
        assert!(told.starts_with('✗'), "{told}");
        let marks: Vec<&str> = told
            .lines()
            .skip(1)
            .filter(|line| line.trim_start().starts_with('✗'))
            .collect();
        assert_eq!(marks.len(), 1, "{told}");
        assert!(marks.concat().contains(&format!("✗ {key}: expected ")), "{told}");
    }
    let right = printed
        .lines()
        .find(|line| line.ends_with("unaltered"))
        .expect("the unaltered one");
    assert!(right.starts_with('✓'), "{right}");
}

#[test]
fn an_altered_expectation_of_the_rollout_is_reported_with_its_key() {
    let fixture = json!({
        "title": "One pull request", "why": "A test.",
        "github": {"variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"}, "permissions": {"alice": "write"}},
        "steps": [{
            "history": {"pulls": 1, "from": 1, "each": [{"pull": {"duration_s": 9, "expect": {"trust": "trusted"}}}]},
            "rollout": {"variable": "true", "stage": 1, "progress": 0, "triggers": [], "why": "stage 0 is complete"},
        }],
        "end": {"alert_counts": {}, "reruns": [], "stage": 1, "rollbacks": 0, "history": ["advance"]},
    });
    let alterations = [
        ("/steps/0/history/each/0/pull/expect/trust", json!("untrusted"), "trust"),
        ("/steps/0/rollout/variable", json!("false"), "step 1: rollout.variable"),
        ("/steps/0/rollout/stage", json!(0), "step 1: rollout.stage"),
        ("/steps/0/rollout/progress", json!(1), "step 1: rollout.progress"),
        (
            "/steps/0/rollout/triggers",
            json!(["offline"]),
            "step 1: rollout.triggers",
        ),
        ("/steps/0/rollout/why", json!("stage 1"), "step 1: rollout.why"),
        (
            "/end/alert_counts",
            json!({"rollback": [1]}),
            "end.alert_counts.rollback",
        ),
        ("/end/reruns", json!([100]), "end.reruns"),
        ("/end/stage", json!(2), "end.stage"),
        ("/end/rollbacks", json!(1), "end.rollbacks"),
        ("/end/history", json!([]), "end.history"),
    ];
    let copies = TempDir::new().expect("a folder");
    fs::write(copies.path().join("z-unaltered.json"), fixture.to_string()).expect("a copy");
    for (number, (place, value, _)) in alterations.iter().enumerate() {
        let mut altered = fixture.clone();
        *altered.pointer_mut(place).expect("an expectation") = value.clone();
        fs::write(
            copies.path().join(format!("altered-{number:02}.json")),
            altered.to_string(),
        )
        .expect("a copy");
    }
    let output = replay(&[copies.path()], false);
    assert_eq!(exit_code(&output), 1, "{}", stderr(&output));
    let printed = stdout(&output);
    let marks: Vec<&str> = (printed.lines().filter(|line| line.starts_with("    ")))
        .filter_map(|line| line.trim_start().strip_prefix("✗ ")?.split_once(": expected "))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(marks, alterations.map(|(_, _, key)| key), "{printed}");
}

#[test]
fn a_typo_in_a_key_is_refused_with_file_line_and_remedy() {
    // Each key once for every level it occurs on; the line is that of the key.
    let levels = [
        ("why", "top"),
        ("permissions", "the world"),
        ("pull", "a run"),
        ("deliver", "a step"),
        ("action", "a delivery"),
        ("labels_class", "an expectation"),
        ("minted", "the end"),
    ];
    let text = text(MODEL);
    let copies = TempDir::new().expect("a folder");
    for (key, level) in levels {
        let (before, after) = text.split_once(&format!("\"{key}\":")).expect("a key of the model");
        let line = before.lines().count() + usize::from(before.ends_with('\n'));
        let path = copies.path().join(format!("typo-in-{key}.json"));
        fs::write(&path, format!("{before}\"{key}x\":{after}")).expect("a copy");
        let output = replay(&[&path], false);
        let told = stderr(&output);
        assert_eq!(exit_code(&output), 3, "{level}: {told}");
        assert_eq!(stdout(&output), "", "{level}");
        let all = [
            path.display().to_string(),
            format!("`{key}x`"),
            format!("line {line} "),
            "docs/fixtures.md".to_owned(),
        ];
        for part in all {
            assert_eq!(told.matches(&part).count(), 1, "{level}: {part} in {told}");
        }
    }
}

#[test]
fn a_setting_that_does_not_exist_is_refused_with_file_and_key() {
    let mut fixture: Value = serde_json::from_str(&text(MODEL)).expect("JSON");
    fixture["settings"] = json!({"rollout": {"mod": "observe"}});
    let copies = TempDir::new().expect("a folder");
    let path = copies.path().join("unknown-setting.json");
    fs::write(&path, fixture.to_string()).expect("a copy");
    let output = replay(&[&path], false);
    let told = stderr(&output);
    assert_eq!(exit_code(&output), 3, "{told}");
    for part in [path.display().to_string().as_str(), "rollout.mod ", "`rollout.mode`"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn an_invalid_fixture_is_refused_before_any_fixture_is_played() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("fine.json"), text(MODEL)).expect("a copy");
    let refused = [
        ("not-json", "runs on: self-hosted\n", "line 1 "),
        ("cut-off", "{\n  \"title\": \"a\",\n", "line 3 "),
        (
            "no-steps",
            "{\"title\": \"a\", \"why\": \"b\", \"github\": {}, \"end\": {}}",
            "`steps`",
        ),
        (
            "short-interval",
            "{\"title\": \"a\", \"why\": \"b\", \"github\": {}, \"end\": {}, \"steps\": [{\"history\": {\"pulls\": 1, \"from\": 1, \"every_s\": 5, \"each\": [{\"pull\": {\"wait_s\": 6}}]}}]}",
            "step 1",
        ),
        (
            "two-verbs",
            "{\"title\": \"a\", \"why\": \"b\", \"github\": {}, \"end\": {}, \"steps\": [{\"restart\": true, \"advance_s\": 1}]}",
            "step 1",
        ),
    ];
    for (name, text, place) in refused {
        let path = folder.path().join(format!("{name}.json"));
        fs::write(&path, text).expect("a file");
        let output = replay(&[folder.path()], false);
        let told = stderr(&output);
        assert_eq!(exit_code(&output), 3, "{name}: {told}");
        assert_eq!(stdout(&output), "", "{name}");
        for part in [path.display().to_string().as_str(), place, "docs/fixtures.md"] {
            assert!(told.contains(part), "{name}: {part} in {told}");
        }
        fs::remove_file(path).expect("the file");
    }
}

#[test]
fn a_path_without_fixtures_is_refused() {
    let empty = TempDir::new().expect("a folder");
    for path in [empty.path().to_owned(), empty.path().join("missing.json")] {
        let output = replay(&[&path], false);
        assert_eq!(exit_code(&output), 3);
        assert!(
            stderr(&output).contains(&path.display().to_string()),
            "{}",
            stderr(&output)
        );
    }
}
