//! `--dry-run` of each command: files and GitHub are the same before and after, and the command itself would change them.

use super::refusals::{before_an_advance, change_rollout, commands, help, person, stage as routed};
use super::stage::{REPOSITORY, Stage};
use super::{app, jit, pool, setup_github};
use crate::support::command::NEED_A_MACHINE;
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LOG: &str = "GET /app/hook/deliveries";
const RUNS: &str = "GET /repos/{owner}/{repo}/actions/runs";

/// A command without `--dry-run`.
struct Row {
    args: &'static [&'static str],
    /// The exit code of the dry run.
    code: i32,
    /// A question that the dry run asks GitHub; none if it needs no answer.
    asks: Option<&'static str>,
}

const fn row(args: &'static [&'static str], code: i32, asks: Option<&'static str>) -> Row {
    Row { args, code, asks }
}

const VARIABLE: Option<&str> = Some("GET /repos/{owner}/{repo}/actions/variables/{name}");

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    row(&["app", "refresh-token", "--token-file", "t/token", "--status-file", "s/status.json"], 0, Some("GET /repos/{owner}/{repo}/installation")),
    row(&["app", "cleanup", "--status-file", "s/status.json", "none"], 0, None),
    row(&["delivery", "recover"], 0, Some(LOG)),
    row(&["jit", "request", "--out", "jit.json"], 0, None),
    row(&["pool", "scale", "--min", "1", "--max", "4", "--target", "3"], 0, Some("GET /repos/{owner}/{repo}/actions/runners")),
    row(&["rollout", "advance", "--why", "green"], 0, None),
    row(&["rollout", "hold", "--why", "a new image"], 0, None),
    row(&["rollout", "resume", "--why", "it works"], 0, None),
    row(&["routing", "disable"], 0, VARIABLE),
    row(&["routing", "enable"], 0, VARIABLE),
    // No jitgate runs here, so the guard finds a fault.
    row(&["routing", "guard"], 1, VARIABLE),
    row(&["setup", "github", "--repo", REPOSITORY, "--protect"], 0, Some("GET /orgs/{org}/actions/runner-groups")),
];

/// Returns a stage on which the command has something to change.
async fn stage_of(command: &str) -> Stage {
    match command {
        "app refresh-token" => app::stage(),
        "app cleanup" => with_an_expired_token(),
        "delivery recover" => with_a_lost_delivery(),
        "jit request" => jit::stage(),
        "pool scale" => pool::stage(),
        "rollout advance" => before_an_advance().await,
        "rollout hold" | "routing disable" | "routing guard" => routed("true"),
        "rollout resume" => {
            let stage = routed("true");
            change_rollout(&stage, |record| record.canary.held = Some(person())).await;
            stage
        }
        "routing enable" => routed("false"),
        "setup github" => setup_github::unprepared(),
        other => panic!("no stage for {other}"),
    }
}

fn with_an_expired_token() -> Stage {
    let stage = Stage::set();
    for folder in ["s", "t"] {
        fs::create_dir(stage.at(folder)).expect("a folder");
    }
    let token = stage.write_secret("t/token", "ghs_old");
    let now = SystemClock.now();
    let status = json!({"refreshed_at": now, "expires_at": now - TimeDelta::minutes(10), "token_file": token});
    fs::write(stage.at("s/status.json"), status.to_string()).expect("a file");
    stage
}

/// GitHub's log has a delivery that failed.
fn with_a_lost_delivery() -> Stage {
    let stage = routed("true");
    let lost = json!({
        "id": 1, "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516", "delivered_at": SystemClock.now() - TimeDelta::minutes(5),
        "redelivery": false, "duration": 0.1, "status": "failed", "status_code": 502, "event": "workflow_job",
        "action": "queued", "installation_id": 1, "repository_id": 7,
    });
    stage.github.answer(LOG, 200, json!([lost]));
    stage
        .github
        .answer(RUNS, 200, json!({"total_count": 0, "workflow_runs": []}));
    stage
}

/// Everything that a command can change: the files, the records in the store, and GitHub.
#[derive(PartialEq)]
struct Everything {
    files: Vec<(PathBuf, u32, Vec<u8>)>,
    records: Vec<String>,
    changes: Vec<String>,
}

impl Everything {
    fn of(stage: &Stage) -> Self {
        let mut files = stage.files();
        // Readers tidy up the database, so its records are compared instead of its bytes.
        files.retain(|(path, ..)| path.extension().is_none_or(|end| end != "db"));
        let store = stage.at("jitgate.db");
        Self {
            files,
            records: if store.exists() { records(&store) } else { Vec::new() },
            changes: stage.github.changes(),
        }
    }
}

/// Returns all rows of all tables.
fn records(store: &Path) -> Vec<String> {
    let database = Connection::open(store).expect("a database");
    let mut names = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .expect("a query");
    let names = names.query_map([], |row| row.get::<_, String>(0)).expect("tables");
    let mut all = Vec::new();
    for name in names {
        let name = name.expect("a name");
        let mut rows = database.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a query");
        let columns = rows.column_count();
        let shown = rows.query_map([], |row| {
            (0..columns)
                .map(|column| Ok(format!("{:?}", row.get_ref(column)?)))
                .collect::<Result<Vec<_>, _>>()
        });
        all.extend(
            shown
                .expect("rows")
                .map(|row| format!("{name}: {:?}", row.expect("a row"))),
        );
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_that_the_command_would_change() {
    for Row { args, code, asks } in &ROWS {
        let command = args[..2].join(" ");
        let stage = stage_of(&command).await;
        let before = Everything::of(&stage);
        let answer = stage.run(&[args, &["--dry-run"][..]].concat());
        let context = format!("{command}: {}{}", answer.out, answer.err);
        assert_eq!(answer.code, *code, "{context}");
        assert!(
            answer.out.contains("would") || answer.out.contains("to be "),
            "{context}"
        );
        assert!(
            before == Everything::of(&stage),
            "the dry run changes something: {context}"
        );
        if let Some(operation) = asks {
            assert!(stage.github.calls_of(operation) > 0, "no look at GitHub: {context}");
        }
        let json = stage.run(&[args, &["--dry-run", "--json"][..]].concat());
        let shown: Value = serde_json::from_str(&json.out).unwrap_or_else(|_| panic!("no JSON: {context}"));
        assert!(shown.is_object(), "{shown}");
        assert!(
            before == Everything::of(&stage),
            "the dry run with JSON changes something: {context}"
        );

        let answer = stage.run(args);
        assert_eq!(answer.code, *code, "{command}: {}{}", answer.out, answer.err);
        assert!(
            before != Everything::of(&stage),
            "{command} changes nothing at all: {}",
            answer.out
        );
        stage.github.assert_as_documented();
    }
}

#[test]
fn each_command_with_a_dry_run_is_compared() {
    let has_dry_run = |command: &String| {
        let path: Vec<String> = command.split(' ').map(str::to_owned).collect();
        help(&path).contains("--dry-run")
    };
    let expected: BTreeSet<String> = commands().into_iter().filter(has_dry_run).collect();
    let here = ROWS.iter().map(|row| row.args[..2].join(" "));
    let listed: BTreeSet<String> = here.chain(NEED_A_MACHINE.map(str::to_owned)).collect();
    assert_eq!(listed, expected);
}
