//! `jitgate routing`: with everything up, and with nothing but a token.

use crate::commands::stage::Stage;
use crate::support::command::{Answer, jitgate};
use crate::support::in_process::{REPOSITORY, VARIABLE, decide, miss_slots};
use crate::support::redis::{DURABLE, Server};
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::app::records::{self, RepositoryRecord, RolloutRecord};
use jitgate::ports::Clock;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

async fn variable(stage: &Stage) -> String {
    stage.github.tally().await.expect("a tally").variables[VARIABLE].clone()
}

/// Runs `jitgate` in an empty directory with these environment variables only.
fn elsewhere(args: &[&str], settings: &[(&str, &str)]) -> Answer {
    let folder = TempDir::new().expect("a folder");
    let mut command = jitgate(args);
    let answer = Answer::of(command.current_dir(folder.path()).envs(settings.iter().copied()));
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "it leaves nothing"
    );
    answer
}

fn api_url(stage: &Stage) -> String {
    stage.gate.settings.api_url.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn disable_needs_nothing_but_a_token() {
    let stage = Stage::set().await;
    let url = api_url(&stage);
    let base = ["routing", "disable", "--repo", REPOSITORY, "--api-url", &url];
    let answer = elsewhere(
        &[&base[..], &["--token-env-var", "GH_TOKEN"]].concat(),
        &[("GH_TOKEN", "sim-person")],
    );
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(variable(&stage).await, "false");
    assert!(answer.out.contains("false"), "{}", answer.out);

    // Without any other credential the usual variable is enough.
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    let answer = elsewhere(&base, &[("GH_TOKEN", "sim-person")]);
    assert_eq!(
        (answer.code, variable(&stage).await.as_str()),
        (0, "false"),
        "{}",
        answer.err
    );

    // A token of the wrong kind, a missing one, and too many of them change nothing.
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    for (more, settings, code) in [
        (&["--token-env-var", "GH_TOKEN"][..], &[][..], 3),
        (&["--token-source", "env"], &[("GH_TOKEN", " ")], 3),
        (&["--token-source", "env"], &[("GH_TOKEN", "unknown")], 4),
        (&["--token-source", "file"], &[], 2),
        (&["--token-env-var", "GH_TOKEN", "--token-file", "t"], &[], 2),
        (&["--token-source", "app"], &[], 3),
        (&["--token-source", "gh"], &[("PATH", "/nowhere")], 3),
    ] {
        let answer = elsewhere(&[&base[..], more].concat(), settings);
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (code, ""),
            "{more:?}: {}",
            answer.err
        );
        assert!(answer.err.contains("remedy"), "{more:?}: {}", answer.err);
    }
    assert_eq!(variable(&stage).await, "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_source_of_a_token_works_and_a_broken_configuration_is_no_obstacle() {
    let stage = Stage::set().await;
    let url = api_url(&stage);
    let base = ["routing", "disable", "--repo", REPOSITORY, "--api-url", &url];
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("token"), "sim-person\n").expect("a file");
    assert!(
        Command::new("chmod")
            .args(["600", &at("token")])
            .status()
            .expect("chmod runs")
            .success()
    );
    fs::write(at("gh"), "#!/bin/sh\n[ \"$1 $2\" = 'auth token' ] && echo sim-person\n").expect("a file");
    assert!(
        Command::new("chmod")
            .args(["755", &at("gh")])
            .status()
            .expect("chmod runs")
            .success()
    );
    fs::write(at("broken.toml"), "[store]\nurl = 7\n").expect("a file");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let (token, broken) = (at("token"), at("broken.toml"));
    for (more, settings) in [
        (&["--token-file", &token][..], &[][..]),
        (&["--token-source", "gh"], &[("PATH", path.as_str())]),
        (
            &["--token-source", "env"],
            &[("GH_TOKEN", "sim-person"), ("JITGATE__STORE__URL", "nonsense:")],
        ),
        (
            &["--token-source", "env", "--config", &broken],
            &[("GH_TOKEN", "sim-person")],
        ),
        (
            &["--token-source", "env", "--config", "/nowhere.toml"],
            &[("GH_TOKEN", "sim-person")],
        ),
    ] {
        stage.world(json!({"variables": {VARIABLE: "true"}})).await;
        let answer = elsewhere(&[&base[..], more].concat(), settings);
        assert_eq!(answer.code, 0, "{more:?}: {}", answer.err);
        assert_eq!(variable(&stage).await, "false", "{more:?}");
        assert!(!answer.err.contains("sim-person"), "{}", answer.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disable_succeeds_while_the_store_is_stopped_or_locked() {
    let stage = Stage::set().await;
    let mut redis = Server::start(DURABLE);
    let stopped = format!("redis://{}", redis.address());
    redis.kill();
    let lock = Connection::open(stage.path("state/jitgate.db")).expect("a database");
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    for settings in [&[("JITGATE__STORE__URL", stopped.as_str())][..], &[]] {
        stage.world(json!({"variables": {VARIABLE: "true"}})).await;
        let began = Instant::now();
        let answer = stage.jitgate_with(&["--json", "routing", "disable", "--why", "smoke"], settings);
        let json = answer.json();
        assert_eq!(
            (&json["value"], &json["recorded"]),
            (&json!("false"), &json!(false)),
            "{json}"
        );
        assert!(answer.err.contains("are not recorded"), "{}", answer.err);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(variable(&stage).await, "false");
    }
}

async fn record(stage: &Stage) -> RolloutRecord {
    stage.record().await
}

async fn status(stage: &Stage) -> Value {
    stage.jitgate(&["--json", "routing", "status"]).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_recorded_with_their_person_and_shown() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    decide(&stage.gate).await;
    let first = status(&stage).await;
    assert_eq!(first["repository"], REPOSITORY);
    assert_eq!(
        (&first["variable"], &first["value"]),
        (&json!(VARIABLE), &json!("true"))
    );
    assert_eq!((&first["state"], &first["last_change"]), (&json!("on"), &Value::Null));
    assert_eq!(first["runner_group"], json!({"id": 1, "has_access": true}));
    assert!(first["updated_at"].is_string());

    let preview = stage.jitgate(&["routing", "disable", "--dry-run"]);
    assert_eq!(preview.code, 0, "{}", preview.err);
    assert_eq!(variable(&stage).await, "true", "nothing is written");

    let off = stage
        .jitgate(&[
            "--json",
            "routing",
            "disable",
            "--why",
            "the disk is full",
            "--by",
            "alice",
        ])
        .json();
    assert_eq!(
        (&off["value"], &off["by"], &off["recorded"]),
        (&json!("false"), &json!("alice"), &json!(true))
    );
    let shown = status(&stage).await;
    assert_eq!(shown["state"], "off");
    assert_eq!(
        (&shown["last_change"]["by"], &shown["last_change"]["why"]),
        (&json!("alice"), &json!("the disk is full"))
    );

    let on = stage.jitgate(&["routing", "enable", "--by", "bob"]);
    assert_eq!(on.code, 0, "{}", on.err);
    assert_eq!(variable(&stage).await, "true");
    let history = record(&stage).await.history;
    let told: Vec<(&str, Option<&str>)> = history.iter().map(|it| (it.what.as_str(), it.by.as_deref())).collect();
    assert_eq!(told, [("disable", Some("alice")), ("enable", Some("bob"))]);
    let text = stage.jitgate(&["routing", "status"]);
    assert!(
        text.out.contains("routing       on") && text.out.contains("by bob"),
        "{}",
        text.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_variable_is_not_part_of_the_history_of_routing() {
    let stage = Stage::set().await;
    stage.world(json!({"variables": {"OTHER": "true"}})).await;
    stage.deliver("guid-1", "queued", 101).await;
    decide(&stage.gate).await;
    assert_eq!(stage.jitgate(&["routing", "disable", "--by", "alice"]).code, 0);
    let before = record(&stage).await;
    let switch = |command: &str| {
        let args = ["--json", "routing", command, "--var-name", "OTHER", "--by", "bob"];
        stage.jitgate(&args).json()
    };
    for (command, value) in [("enable", "true"), ("disable", "false")] {
        let told = switch(command);
        assert_eq!(
            (&told["variable"], &told["value"], &told["recorded"]),
            (&json!("OTHER"), &json!(value), &json!(false))
        );
    }
    assert_eq!(record(&stage).await, before);
    let shown = stage.jitgate(&["--json", "routing", "status", "--var-name", "OTHER"]);
    assert_eq!(shown.json()["last_change"], Value::Null);
    assert_eq!(status(&stage).await["last_change"]["by"], "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn enable_is_refused_while_runners_are_offline_unless_forced_with_a_reason() {
    let stage = Stage::set().await;
    stage.world(json!({"variables": {VARIABLE: "false"}})).await;
    let (ledger, recovered) = (stage.gate.ledger.as_ref(), SystemClock.now() - TimeDelta::minutes(19));
    let day = Duration::from_secs(86_400);
    miss_slots(ledger, "commands", "0 of at least 1 slots are up", recovered, day).await;
    for (args, code) in [
        (&["routing", "enable"][..], 1),
        (&["routing", "enable", "--why", "it is fine"], 1),
        (&["routing", "enable", "--force"], 2),
        (&["routing", "enable", "--force", "--why", " "], 2),
    ] {
        let answer = stage.jitgate(args);
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            answer.err
        );
        assert!(
            code == 2 || answer.err.contains("0 of at least 1 slots"),
            "{}",
            answer.err
        );
    }
    assert_eq!(variable(&stage).await, "false");
    let forced = stage.jitgate(&["routing", "enable", "--force", "--why", "a second host follows"]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert_eq!(variable(&stage).await, "true");
    let last = record(&stage).await.history.pop().expect("a change");
    assert_eq!(last.why.as_deref(), Some("a second host follows"));
}

#[tokio::test(flavor = "multi_thread")]
async fn disable_repeats_a_write_that_github_does_not_show_and_reports_a_refusal() {
    let stage = Stage::set().await;
    stage
        .world(json!({"faults": [{"endpoint": "set-variable", "status": 204}]}))
        .await;
    let answer = stage.jitgate(&["routing", "disable"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("the write is repeated"), "{}", answer.err);
    assert_eq!(variable(&stage).await, "false");

    stage
        .world(json!({
            "variables": {VARIABLE: "true"},
            "faults": [{"endpoint": "set-variable", "status": 403, "times": 9,
                        "message": "Resource not accessible by integration"}],
        }))
        .await;
    let answer = stage.jitgate(&["routing", "disable"]);
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(
        answer
            .err
            .contains(&format!("gh variable set {VARIABLE} --repo {REPOSITORY}")),
        "{}",
        answer.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_worker_saw_first_still_gets_its_person() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    decide(&stage.gate).await;
    let url = api_url(&stage);
    let args = [
        "routing",
        "disable",
        "--repo",
        REPOSITORY,
        "--api-url",
        &url,
        "--token-source",
        "env",
    ];
    assert_eq!(elsewhere(&args, &[("GH_TOKEN", "sim-person")]).code, 0);
    let on = stage.jitgate(&["--json", "routing", "enable", "--by", "bob"]).json();
    assert_eq!(on["value"], "true");
    let history = record(&stage).await.history;
    assert_eq!(
        history.last().map(|it| (it.what.as_str(), it.by.as_deref())),
        Some(("enable", Some("bob")))
    );
    assert_eq!(status(&stage).await["last_change"]["by"], "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_stop_holds_although_the_variable_is_switched_on_at_github_and_enable_ends_it() {
    let stage = Stage::set().await;
    let stopped = stage.jitgate(&["routing", "disable", "--hard", "--why", "a job escaped"]);
    assert_eq!(stopped.code, 0, "{}", stopped.err);
    assert_eq!(
        stage.jitgate(&["routing", "disable", "--hard", "--why", "again"]).code,
        0
    );
    let record: Option<RepositoryRecord> = records::load(stage.gate.ledger.as_ref(), REPOSITORY)
        .await
        .expect("the store answers");
    let first = record.and_then(|record| record.stopped).and_then(|stopped| stopped.why);
    assert_eq!(
        first.as_deref(),
        Some("a job escaped"),
        "a repeated stop is the same one"
    );
    stage.world(json!({"variables": {VARIABLE: "true"}})).await;
    stage.deliver("first", "queued", 101).await;
    stage.work().await;
    let why = stage.jitgate(&["why", "101", "--json"]).json();
    assert!(why.to_string().contains("\"stopped\""), "{why}");
    assert_eq!(stage.github.tally().await.expect("a tally").minted, 0);

    let enabled = stage.jitgate(&["routing", "enable", "--why", "the host is new"]);
    assert_eq!(enabled.code, 0, "{}", enabled.err);
    stage.deliver("second", "queued", 101).await;
    stage.work().await;
    assert_eq!(stage.github.tally().await.expect("a tally").minted, 1);
}
