//! The whole output of commands, compared with `tests/it/snapshots/`.
//!
//! `INSTA_UPDATE=always cargo nextest run --test it snapshots::` accepts every change.

use crate::commands::stage::{Answer, Stage};
use crate::config::place::Place;
use crate::support::command;
use insta::{Settings, assert_snapshot};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// Patterns of text that differs between two runs, and their replacements.
const FILTERS: [(&str, &str); 9] = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z)?", "[time]"),
    (r"\b\d\d:\d\d:\d\d\b", "[time]"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r"/[^ ]*/\.tmp\w+", "[directory]"),
    (r"\b\d+(\.\d+)? (ms|s)( ago)?\b", "[duration]"),
    (r"synthetic-[0-9a-f-]+", "[slot]"),
    // Not every machine runs systemd.
    (
        r"(?m)^\w+ +host +(services of jitgate: |no service of jitgate |installed services: ).*$",
        "[services]",
    ),
    (r", \d+ unknown", ", [number] unknown"),
    (r" {2,}", "  "),
];

fn bind(filters: &[(&str, &str)], check: impl FnOnce()) {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in filters {
        settings.add_filter(pattern, *replacement);
    }
    settings.bind(check);
}

/// Compares exit code, output and errors with the snapshot of this name.
#[track_caller]
fn assert_output(name: &str, code: i32, out: &str, err: &str) {
    let text = format!("exit code: {code}\n{}\n{}", out.trim_end(), err.trim_end());
    bind(&FILTERS, || assert_snapshot!(name, text));
}

/// Runs `jitgate` without a configuration.
fn jitgate(args: &[&str]) -> Answer {
    let mut command = command::jitgate(args);
    Answer::of(command.env("COLUMNS", "100").current_dir(env!("CARGO_MANIFEST_DIR")))
}

/// Returns the long help of a command and of all commands below it, by the name of the snapshot.
fn helps(path: &[&str], found: &mut Vec<(String, String)>) {
    let help = jitgate(&[path, &["--help"]].concat());
    assert_eq!(help.code, 0, "{path:?}: {}", help.err);
    let commands = help.out.split("\nCommands:\n").nth(1).unwrap_or_default();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        helps(&[path, &[name]].concat(), found);
    }
    found.push(([&["help"], path].concat().join("_"), help.out));
}

#[test]
fn every_command_has_its_help() {
    let mut found = Vec::new();
    helps(&[], &mut found);
    assert!(found.len() > 20, "{} commands", found.len());
    bind(&[], || {
        for (name, text) in &found {
            assert_snapshot!(name.as_str(), text);
        }
    });
    let found: BTreeSet<String> = found.into_iter().map(|(name, _)| name).collect();
    let stored = stored().into_iter().filter(|name| name.starts_with("help"));
    assert_eq!(
        stored.collect::<BTreeSet<_>>(),
        found,
        "a snapshot of a command that does not exist"
    );
}

/// Returns the names of all snapshots.
fn stored() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let files = std::fs::read_dir(folder).expect("the snapshots").flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    names.map(|name| name.trim_end_matches(".snap").to_owned()).collect()
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    let source = include_str!("snapshots.rs");
    let lost = stored()
        .into_iter()
        .filter(|name| !name.starts_with("help") && !source.contains(&format!("\"{name}\"")));
    assert_eq!(lost.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_runners_and_alerts() {
    let stage = Stage::with_a_full_pool().await;
    stage.deliver("guid-102", "queued", 102).await;
    stage.work().await;
    for (name, args) in [
        ("why_running_job", &["why", "201"][..]),
        ("why_waiting_job", &["why", "205"]),
        ("why_untrusted_job", &["why", "102"]),
        ("why_unknown_job", &["why", "999"]),
        ("runner_list", &["runner", "list"]),
        ("alert_list", &["alert", "list"]),
        ("delivery_list", &["delivery", "list"]),
        ("delivery_show", &["delivery", "show", "guid-201"]),
        ("dead_letter_list_empty", &["dead-letter", "list"]),
        ("verify", &["verify"]),
        ("config_check", &["config", "check"]),
    ] {
        let answer = stage.jitgate(args);
        assert_output(name, answer.code, &answer.out, &answer.err);
    }
    stage
        .post(
            "guid-900",
            json!({"action": "queued", "workflow_job": {"id": 1}}).to_string(),
        )
        .await;
    let answer = stage.jitgate(&["dead-letter", "list"]);
    assert_output("dead_letter_list", answer.code, &answer.out, &answer.err);
}

#[test]
fn configuration_and_replay() {
    let faulty = Place::with("[rollout]\nmode = \"enforced\"\n[runner]\nmax = 0\n");
    for (name, args) in [
        ("config_check_faulty", &["config", "check"][..]),
        ("config_show_faulty", &["config", "show"]),
    ] {
        let answer = faulty.jitgate(args, &[]);
        assert_output(name, answer.code, &answer.out, &answer.err);
    }
    for (name, args) in [
        (
            "replay",
            &["replay", "fixtures/trusted-pull-request-gets-one-runner.json"][..],
        ),
        ("replay_missing", &["replay", "fixtures/no-such-fixture.json"]),
        ("unknown_command", &["runners"]),
    ] {
        let answer = jitgate(args);
        assert_output(name, answer.code, &answer.out, &answer.err);
    }
}
