//! `jitgate changes`: every command that changes something leaves its person, its reason and its result.

use super::stage::{Answer, Stage, TOKEN};
use crate::support::command::{self, NEED_A_MACHINE};
use crate::support::in_process::{REPOSITORY, VARIABLE};
use crate::support::scripted::KEY;
use clap::CommandFactory;
use jitgate::cli::Cli;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Commands that change nothing that jitgate, GitHub or this machine keeps, and servers, which are no person's change.
const READERS: [&str; 31] = [
    "alert list",
    "app check",
    "app installation-id",
    "app token",
    "changes list",
    "config check",
    "config schema",
    "config show",
    "dead-letter list",
    "delivery export",
    "delivery list",
    "delivery show",
    "image list",
    "image verify",
    "incident list",
    "incident report",
    "pool reconcile",
    "pool status",
    "pool supervise",
    "replay",
    "rollout export",
    "rollout simulate",
    "rollout status",
    "routing status",
    "runner health",
    "runner list",
    "serve",
    "simulate",
    "slo",
    "verify",
    "why",
];

fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
    let subcommands: Vec<_> = command.get_subcommands().filter(|it| !it.is_hide_set()).collect();
    if subcommands.is_empty() {
        let has = |name: &str| command.get_arguments().any(|argument| argument.get_id() == name);
        assert_eq!(has("why"), has("by"), "{path}");
        found.push((path.to_owned(), has("why")));
    }
    for below in subcommands {
        leaves(below, format!("{path} {}", below.get_name()).trim(), found);
    }
}

/// Returns the commands that take a reason.
fn changing() -> BTreeSet<String> {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    let (changing, reading): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, takes_why)| *takes_why);
    let reading: BTreeSet<String> = reading.into_iter().map(|(path, _)| path).collect();
    let expected: BTreeSet<String> = READERS.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(
        reading, expected,
        "a command that changes something takes --why and --by"
    );
    changing.into_iter().map(|(path, _)| path).collect()
}

/// Runs a command with a state directory of its own.
fn changed(stage: &Stage, args: &[&str]) -> Answer {
    let state = stage.path("state-dir").display().to_string();
    stage.jitgate_with(args, &[("JITGATE__SERVER__STATE_DIR", &state)])
}

fn list(stage: &Stage) -> Vec<Value> {
    let listed = stage.jitgate(&["changes", "list", "--json"]).json();
    listed["changes"].as_array().expect("a list").clone()
}

fn private(stage: &Stage, name: &str, text: &str) -> String {
    let path = stage.path(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_changing_command_leaves_its_person_and_reason() {
    let stage = Stage::set().await;
    let key = private(&stage, "app.pem", &KEY.private_pem);
    let app = ["--app-id", "1", "--app-private-key-file", &key];
    let path = |name: &str| stage.path(name).display().to_string();
    let (token, status, jit) = (path("app-token"), path("status.json"), path("jit.json"));
    let refresh = [
        "app",
        "refresh-token",
        "--token-file",
        &token,
        "--status-file",
        &status,
        "--repo",
        REPOSITORY,
    ];
    private(
        &stage,
        "stale.json",
        r#"{"runner": {"id": 1}, "encoded_jit_config": "e30="}"#,
    );
    let cleanup = [
        "app",
        "cleanup",
        "--jit-max-age-s",
        "0",
        "--status-file",
        &status,
        &path("stale.json"),
    ];

    let mut expected = BTreeSet::new();
    let run = |stage: &Stage, args: &[&str], subject: &str, expected: &mut BTreeSet<String>| {
        let name = args[..2].join(" ");
        let answer = changed(
            stage,
            &[args, &["--why", &format!("because of {name}"), "--by", "alice"]].concat(),
        );
        assert_eq!(answer.code, 0, "{name}: {}", answer.err);
        let newest = list(stage).into_iter().next().unwrap_or_default();
        assert_eq!(
            (
                &newest["command"],
                &newest["by"],
                &newest["why"],
                &newest["result"],
                &newest["error"]
            ),
            (
                &json!(name),
                &json!("alice"),
                &json!(format!("because of {name}")),
                &json!("done"),
                &Value::Null
            ),
        );
        assert!(
            newest["subject"].as_str().is_some_and(|it| it.contains(subject)),
            "{newest}"
        );
        expected.insert(name);
    };
    run(&stage, &["repository", "accept"], REPOSITORY, &mut expected);
    run(&stage, &["setup", "github", "--protect"], REPOSITORY, &mut expected);
    run(&stage, &["jit", "request", "--out", &jit], "jit.json", &mut expected);
    run(&stage, &[&refresh[..], &app].concat(), "app-token", &mut expected);
    run(&stage, &cleanup, "stale.json", &mut expected);
    run(
        &stage,
        &["pool", "scale", "--min", "1", "--max", "2"],
        "min 1, max 2",
        &mut expected,
    );
    run(&stage, &["routing", "disable"], REPOSITORY, &mut expected);
    run(&stage, &["routing", "enable"], REPOSITORY, &mut expected);
    run(&stage, &["rollout", "hold"], REPOSITORY, &mut expected);
    run(&stage, &["rollout", "resume"], REPOSITORY, &mut expected);
    run(&stage, &["rollout", "advance"], REPOSITORY, &mut expected);
    for guid in ["dead-1", "dead-2"] {
        stage.deliver(guid, "queued", 101).await;
        stage.give_up("GitHub refused").await;
    }
    run(&stage, &["dead-letter", "drop", "dead-2"], "dead-2", &mut expected);
    run(&stage, &["dead-letter", "retry", "dead-1"], "dead-1", &mut expected);
    stage.deliver("guid-102", "queued", 102).await;
    stage.work().await;
    run(&stage, &["delivery", "replay", "guid-102"], "guid-102", &mut expected);
    let alerts = stage.jitgate(&["alert", "list", "--json"]).json();
    let id = alerts["alerts"][0]["id"].as_str().expect("an id").to_owned();
    run(&stage, &["alert", "ack", &id], &id, &mut expected);
    run(&stage, &["alert", "resolve", &id], &id, &mut expected);

    let guard = stage.jitgate(&["routing", "guard", "--by", "alice"]);
    assert_eq!(guard.code, 1, "no runner is online: {}", guard.err);
    let newest = list(&stage).into_iter().next().expect("a record");
    assert_eq!(
        (&newest["command"], &newest["result"]),
        (&json!("routing guard"), &json!("negative"))
    );
    expected.insert("routing guard".to_owned());

    let job = json!({"id": 501, "name": "web", "created_at": "now-60s"});
    stage
        .world(json!({"runs": [{"id": 50, "pull": 7, "jobs": [job]}]}))
        .await;
    let recover = stage.jitgate(&["delivery", "recover", "--by", "alice"]);
    assert_eq!(recover.code, 3, "a token has no delivery log: {}", recover.err);
    let newest = list(&stage).into_iter().next().expect("a record");
    assert_eq!(
        (&newest["command"], &newest["result"], &newest["by"]),
        (&json!("delivery recover"), &json!("failed"), &json!("alice"))
    );
    expected.insert("delivery recover".to_owned());

    let told = stage.jitgate(&["changes", "list"]);
    assert!(
        told.out.contains("because of pool scale") && told.out.contains(" alice "),
        "{}",
        told.out
    );
    let changing: BTreeSet<String> = changing()
        .into_iter()
        .filter(|it| !NEED_A_MACHINE.contains(&it.as_str()))
        .collect();
    assert_eq!(expected, changing, "each changing command is tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_and_a_command_without_effect_leave_no_record() {
    let stage = Stage::set().await;
    let scale = ["pool", "scale", "--min", "1", "--max", "2"];
    let before = list(&stage);
    for args in [
        [&scale[..], &["--dry-run"]].concat(),
        vec!["routing", "disable", "--dry-run"],
        vec!["delivery", "recover", "--dry-run"],
        vec!["dead-letter", "drop", "--all"],
        vec!["jit", "request", "--labels", "a,,b", "--out", "nowhere"],
        vec!["routing", "guard", "--no-toggle"],
    ] {
        changed(&stage, &args);
        assert_eq!(list(&stage), before, "{args:?}");
    }
    changed(&stage, &scale);
    assert_eq!(list(&stage).len(), before.len() + 1);
    assert_eq!(changed(&stage, &scale).code, 0);
    assert_eq!(list(&stage).len(), before.len() + 1, "the bounds are the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_leaves_its_error() {
    let stage = Stage::set().await;
    stage
        .world(json!({"faults": [{"endpoint": "jit", "status": 403, "times": 9}]}))
        .await;
    let out = stage.path("jit.json").display().to_string();
    let failed = stage.jitgate(&["jit", "request", "--out", &out]);
    assert_eq!(failed.code, 4, "{}", failed.err);
    let newest = list(&stage).into_iter().next().expect("a record");
    assert_eq!(newest["result"], "failed");
    let error = newest["error"].as_str().expect("an error");
    assert!(
        error.contains("cannot request a runner") && !error.contains("remedy"),
        "{error}"
    );
    assert!(
        newest["by"].as_str().is_some_and(|by| !by.is_empty()),
        "the login name: {newest}"
    );
}

/// Switches routing off with a token alone, in a folder of its own.
fn disable(stage: &Stage, folder: &TempDir, settings: &[(&str, &str)]) -> Answer {
    let api = stage.simulator.url().to_owned();
    let args = [
        "routing",
        "disable",
        "--repo",
        REPOSITORY,
        "--api-url",
        &api,
        "--why",
        "smoke",
        "--by",
        "bob",
    ];
    let mut command = command::jitgate(&args);
    command
        .env("PATH", "/usr/bin:/bin")
        .env("GH_TOKEN", TOKEN)
        .current_dir(folder.path());
    Answer::of(command.envs(settings.iter().copied()))
}

fn listed(folder: &TempDir, settings: &[(&str, &str)]) -> Answer {
    let mut command = command::jitgate(&["changes", "list", "--json"]);
    Answer::of(command.current_dir(folder.path()).envs(settings.iter().copied()))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_the_record_is_in_a_file_of_the_state_directory() {
    let stage = Stage::set().await;
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("jitgate-state");
    fs::create_dir(&state).expect("a folder");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("a mode");
    let answer = disable(&stage, &folder, &[]);
    assert_eq!(
        (answer.code, answer.err.contains("recorded nowhere")),
        (0, false),
        "{}",
        answer.err
    );
    let file = state.join("changes.jsonl");
    let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let shown = listed(&folder, &[]).json();
    let change = &shown["changes"][0];
    assert_eq!(
        (&change["command"], &change["by"]),
        (&json!("routing disable"), &json!("bob"))
    );
    assert_eq!(shown["changes"].as_array().map(Vec::len), Some(1));

    // Later there is a store: both are shown, newest first.
    let stored = format!("sqlite:{}", stage.path("state/jitgate.db").display());
    let settings = [("JITGATE__STORE__URL", stored.as_str())];
    assert_eq!(disable(&stage, &folder, &settings).code, 0);
    let lines = fs::read_to_string(&file).expect("a file").lines().count();
    assert_eq!(lines, 1, "the second record is in the store");
    let both = listed(&folder, &settings).json();
    assert_eq!(both["changes"].as_array().map(Vec::len), Some(2));
    assert_eq!(both["changes"][1], *change);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_prints_the_record_and_changes_no_result() {
    let stage = Stage::set().await;
    let folder = TempDir::new().expect("a folder");
    let on = || stage.world(json!({"variables": {VARIABLE: "true"}}));
    let answer = disable(&stage, &folder, &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let is_record = |line: &&str| line.contains("recorded nowhere else") && line.contains("\"by\":\"bob\"");
    assert_eq!(answer.err.lines().filter(is_record).count(), 1, "{}", answer.err);
    assert_eq!(
        fs::read_dir(folder.path()).expect("listed").count(),
        0,
        "no folder is left"
    );

    // A state directory that the configuration names is made, also for a user who is not root.
    on().await;
    let named = folder.path().join("named");
    let mut settings = vec![("JITGATE__SERVER__STATE_DIR", named.to_str().expect("text"))];
    let answer = disable(&stage, &folder, &settings);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_ne!(
        named.join("changes.jsonl").exists(),
        answer.err.contains("recorded nowhere else")
    );

    // A store that is down: the file takes the record.
    on().await;
    fs::create_dir_all(&named).expect("a folder");
    settings.push(("JITGATE__STORE__URL", "redis://:hunter2@127.0.0.1:1/"));
    let answer = disable(&stage, &folder, &settings);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains("the store did not record this change"),
        "{}",
        answer.err
    );
    let shown = listed(&folder, &settings);
    assert_eq!(shown.code, 5, "{}", shown.err);
    assert!(shown.out.contains("routing disable"), "{}", shown.out);

    // Neither place works.
    on().await;
    fs::remove_file(named.join("changes.jsonl")).expect("removed");
    fs::create_dir(named.join("changes.jsonl")).expect("a folder");
    let answer = disable(&stage, &folder, &settings);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(answer.err.lines().filter(is_record).count(), 1, "{}", answer.err);
    assert_eq!(stage.variable().await, "false");
}
