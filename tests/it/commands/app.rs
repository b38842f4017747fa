//! `jitgate app` beside a simulated GitHub: keys that are refused, tokens that work, clean-up, and a kill at any moment.

use super::stage::{Answer, Stage};
use crate::support::scripted::KEY;
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// A stage with the key of an app in `app.pem`.
async fn stage() -> Stage {
    let stage = Stage::set().await;
    write(&stage, "app.pem", &KEY.private_pem, 0o600);
    stage
}

fn write(stage: &Stage, name: &str, text: &str, mode: u32) -> String {
    let path = stage.path(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    path.display().to_string()
}

/// Runs a command with the flags of the app.
fn app(stage: &Stage, args: &[&str]) -> Answer {
    let key = stage.path("app.pem").display().to_string();
    stage.jitgate(&[&["app"], args, &["--app-id", "1", "--app-private-key-file", &key]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_checked_although_a_token_file_is_configured() {
    let stage = stage().await;
    let answer = app(&stage, &["check"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.out.contains("app jitgate (1) of octo-org"), "{}", answer.out);
    let answer = stage.jitgate(&["app", "check"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("no app is configured") && answer.err.contains("remedy"),
        "{}",
        answer.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installation_of_another_configured_app_is_not_used() {
    let stage = stage().await;
    let key = stage.path("app.pem").display().to_string();
    let other = [
        ("JITGATE__GITHUB__APP_ID", "1"),
        ("JITGATE__GITHUB__PRIVATE_KEY_FILE", key.as_str()),
        ("JITGATE__GITHUB__INSTALLATION_ID", "424242"),
    ];
    let configured = stage.jitgate_with(&["app", "token"], &other);
    assert_eq!(configured.code, 4, "no such installation: {}", configured.err);
    let named = ["app", "token", "--app-id", "1", "--private-key-file", &key];
    let answer = stage.jitgate_with(&named, &other);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let chosen = stage.jitgate_with(&[&named[..], &["--installation-id", "424242"]].concat(), &other);
    assert_eq!(chosen.code, 4, "{}", chosen.err);
    // The same flags select the app whose tokens another command uses, beside a configured token file.
    let status = ["routing", "status", "--token-source", "app"];
    let answer = stage.jitgate_with(
        &[&status[..], &["--app-id", "1", "--app-private-key-file", &key]].concat(),
        &other,
    );
    assert_eq!(answer.code, 0, "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_or_in_a_git_work_tree_is_refused() {
    let stage = stage().await;
    fs::create_dir_all(stage.path("tree/.git")).expect("a folder");
    for (path, remedy) in [
        (write(&stage, "open.pem", &KEY.private_pem, 0o644), "chmod 600"),
        (
            write(&stage, "tree/deep/app.pem", &KEY.private_pem, 0o600),
            "move it outside",
        ),
        (write(&stage, "text.pem", "hello", 0o600), "PEM file of the app"),
        ("/nowhere/app.pem".to_owned(), "existing file"),
    ] {
        for command in ["check", "token", "refresh-token"] {
            let answer = stage.jitgate(&["app", command, "--app-id", "1", "--app-private-key-file", &path]);
            assert_eq!((answer.code, answer.out.as_str()), (3, ""), "{path}: {}", answer.err);
            assert!(answer.err.contains(remedy), "{path}: {}", answer.err);
        }
    }
    assert_eq!(
        stage.github.tally().await.expect("a tally").calls.len(),
        0,
        "GitHub is not asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_the_command_works() {
    let stage = stage().await;
    let token = app(&stage, &["token", "--repo", "octo-org/chem-model"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let status = ["routing", "status", "--token-source", "env"];
    let answer = stage.jitgate_with(&status, &[("GH_TOKEN", token.out.trim())]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let out = stage.path("jit.json").display().to_string();
    let request = ["jit", "request", "--token-source", "env", "--out", &out];
    let answer = stage.jitgate_with(&request, &[("GH_TOKEN", token.out.trim())]);
    assert_eq!(answer.code, 0, "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_named_as_the_cause() {
    let stage = stage().await;
    let date = (SystemClock.now() - TimeDelta::minutes(20))
        .to_rfc2822()
        .replace("+0000", "GMT");
    let fault = json!({"endpoint": "app", "status": 401, "message": "Bad", "headers": {"date": date}});
    stage.world(json!({"faults": [fault]})).await;
    let answer = app(&stage, &["check"]);
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(
        answer.err.contains("differs from GitHub's by 1200 s") || answer.err.contains("by 1201 s"),
        "{}",
        answer.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_refresh_never_leaves_a_part_of_a_token() {
    let stage = stage().await;
    let (token, status) = (stage.path("t/token"), stage.path("t/status.json"));
    let (token_flag, status_flag) = (token.display().to_string(), status.display().to_string());
    let args = [
        "refresh-token",
        "--repo",
        "octo-org/chem-model",
        "--token-file",
        &token_flag,
        "--status-file",
        &status_flag,
    ];
    assert_eq!(app(&stage, &args).code, 0);
    let whole = fs::read_to_string(&token).expect("a token").len();
    let key = stage.path("app.pem").display().to_string();
    for step in 1..=30 {
        let after = format!("{:.3}", f64::from(step) * 0.008);
        let killed = Command::new("timeout")
            .args(["--signal", "KILL", &after, env!("CARGO_BIN_EXE_jitgate"), "--config"])
            .arg(stage.path("jitgate.toml"))
            .arg("app")
            .args(args)
            .args(["--app-id", "1", "--app-private-key-file", &key])
            .output();
        assert!(killed.is_ok(), "timeout of the Debian package coreutils");
        assert_eq!(
            fs::read_to_string(&token).expect("a token").len(),
            whole,
            "killed after {after} s"
        );
        let status: Value = serde_json::from_slice(&fs::read(&status).expect("a status")).expect("a whole status");
        assert!(status["expires_at"].is_string());
    }
    // The next refresh removes what the killed ones left.
    assert_eq!(app(&stage, &args).code, 0);
    let mut names: Vec<_> = fs::read_dir(stage.path("t"))
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["status.json", "token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_others_can_write_to_is_refused() {
    let stage = stage().await;
    fs::create_dir(stage.path("shared")).expect("a folder");
    fs::set_permissions(stage.path("shared"), fs::Permissions::from_mode(0o777)).expect("a mode");
    let token = stage.path("shared/token").display().to_string();
    let status = stage.path("status.json").display().to_string();
    for more in [&["--dry-run"][..], &[]] {
        let args = [
            &[
                "refresh-token",
                "--repo",
                "octo-org/chem-model",
                "--token-file",
                &token,
                "--status-file",
                &status,
            ],
            more,
        ];
        let answer = app(&stage, &args.concat());
        assert_eq!(answer.code, 3, "{}", answer.err);
        assert!(
            answer.err.contains("chmod go-w") && answer.err.contains("--token-file"),
            "{}",
            answer.err
        );
    }
    assert!(!stage.path("status.json").exists());
}

/// Writes a status file about `t/token`.
fn note(stage: &Stage, refreshed_ago: i64, expires_in: i64) -> String {
    let at = |minutes| SystemClock.now() + TimeDelta::minutes(minutes);
    let status = json!({
        "refreshed_at": at(-refreshed_ago), "expires_at": at(expires_in), "token_file": stage.path("t/token"),
    });
    write(stage, "s/status.json", &status.to_string(), 0o644)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_removes_what_is_worthless_and_nothing_else() {
    let stage = stage().await;
    let jit = json!({"runner": {"id": 1, "name": "a"}, "encoded_jit_config": "eA=="}).to_string();
    for name in ["t/token", "t/other", "t/.token.1.draft", "j/notes.json"] {
        write(&stage, name, "something", 0o600);
    }
    write(&stage, "j/jit.json", &jit, 0o600);
    symlink(stage.path("j/jit.json"), stage.path("j/link.json")).expect("a link");
    let folder = stage.path("j").display().to_string();
    let status = note(&stage, 0, 10);
    let args = ["app", "cleanup", "--json", "--status-file", &status, &folder];
    let kinds = |answer: &Value, list: &str| -> Vec<String> {
        let files = answer[list].as_array().expect("a list").iter();
        files
            .filter_map(|file| file["kind"].as_str())
            .map(str::to_owned)
            .collect()
    };

    // A valid token and a young configuration stay.
    let dry = stage.jitgate(&[&args[..], &["--dry-run"]].concat()).json();
    assert_eq!(
        (kinds(&dry, "removed"), dry["dry_run"].as_bool()),
        (vec!["draft".to_owned()], Some(true))
    );
    assert!(stage.path("t/.token.1.draft").exists(), "a dry run removes nothing");

    let status = note(&stage, 0, -10);
    let args = [
        "app",
        "cleanup",
        "--json",
        "--status-file",
        &status,
        "--jit-max-age-s",
        "0",
        &folder,
    ];
    let removed = stage.jitgate(&args).json();
    let mut found = kinds(&removed, "removed");
    found.sort();
    assert_eq!(found, ["draft", "jit", "token"], "{removed}");
    for (name, stays) in [
        ("t/token", false),
        ("t/other", true),
        ("t/.token.1.draft", false),
        ("j/jit.json", false),
        ("j/notes.json", true),
        ("s/status.json", true),
    ] {
        assert_eq!(stage.path(name).exists(), stays, "{name}");
    }
    assert!(
        fs::symlink_metadata(stage.path("j/link.json")).is_ok(),
        "a link is not a file of ours"
    );
    let again = stage.jitgate(&["app", "cleanup", "--status-file", &status, &folder]);
    assert_eq!(
        (again.code, again.out.as_str()),
        (0, "nothing is stale\n"),
        "{}",
        again.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_another_program_wrote_later_stays() {
    let stage = stage().await;
    write(&stage, "t/token", "another token", 0o600);
    let status = note(&stage, 30, -1);
    let nowhere = stage.path("j").display().to_string();
    let answer = stage.jitgate(&["app", "cleanup", "--status-file", &status, &nowhere]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.out.contains("kept") && stage.path("t/token").exists(),
        "{}",
        answer.out
    );
}
