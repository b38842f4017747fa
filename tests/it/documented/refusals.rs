//! The commands that ask GitHub, and the proof that the list of them is complete. The tests of each command let its
//! requests fail in each way: exit code 4 and one sentence with a remedy that fits.

use super::stage::{REPOSITORY, Stage};
use crate::support::command::jitgate;
use crate::support::openapi::Fault;
use jitgate::adapters::clock::SystemClock;
use jitgate::app::records::{self, RolloutRecord};
use jitgate::config::{self, FileSource, Sources};
use jitgate::domain::rollout::{Origin, Phase};
use jitgate::ports::Clock;
use jitgate::runtime;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const READ: &str = "GET /repos/{owner}/{repo}/actions/variables/{name}";
const WRITE: &str = "PATCH /repos/{owner}/{repo}/actions/variables/{name}";
const RUNNERS: &str = "GET /repos/{owner}/{repo}/actions/runners";
const DELETE: &str = "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}";
const PLACE: &str = "GET /repos/{owner}/{repo}";
const LOG: &str = "GET /app/hook/deliveries";
const RUNS: &str = "GET /repos/{owner}/{repo}/actions/runs";

/// The place where the failures of a command at GitHub are tested, or the reason why there are none.
enum Tested {
    /// In a file of this folder, or of the named one.
    In(&'static str),
    /// The command does not ask GitHub.
    Never,
    /// A process that runs until it is stopped repeats its requests, and a failure does not end it.
    Repeats(&'static str),
}

use Tested::{In, Never, Repeats};

#[rustfmt::skip]
const COMMANDS: &[(&str, Tested)] = &[
    ("alert ack", Never),
    ("alert list", Never),
    ("alert resolve", Never),
    ("app check", In("app")),
    ("app cleanup", Never),
    ("app installation-id", In("app")),
    ("app refresh-token", In("app")),
    ("app token", In("app")),
    ("changes list", Never),
    ("config check", Never),
    ("config schema", Never),
    ("config show", Never),
    ("dead-letter drop", Never),
    ("dead-letter list", Never),
    ("dead-letter retry", Never),
    ("delivery export", Never),
    ("delivery list", Never),
    ("delivery recover", In("refusals")),
    ("delivery replay", Never),
    ("delivery show", Never),
    ("image build", Never),
    ("image list", Never),
    ("image prune", Never),
    ("image verify", In("commands/image")),
    ("incident list", Never),
    ("incident report", Never),
    ("jit request", In("jit")),
    ("pool reconcile", Repeats("pool")),
    ("pool scale", In("pool")),
    ("pool status", Never),
    ("pool supervise", Repeats("pool")),
    ("replay", Never),
    ("repository accept", In("refusals")),
    ("rollout advance", In("refusals")),
    ("rollout export", Never),
    ("rollout hold", Never),
    ("rollout resume", Never),
    ("rollout simulate", Never),
    ("rollout status", Never),
    ("routing disable", In("refusals")),
    ("routing enable", In("refusals")),
    ("routing guard", In("refusals")),
    ("routing status", In("routing")),
    ("runner health", In("base_runners/health")),
    ("runner list", Never),
    ("runner recover", In("base_runners/recover")),
    ("runner register", In("base_runners/register")),
    ("runner run", In("base_runners/one_job")),
    ("serve", Repeats("serve")),
    ("setup app", In("commands/setup_app")),
    ("setup github", In("setup_github")),
    ("setup reconcile-timer", Never),
    ("setup recovery", Never),
    ("setup supervisor", Never),
    ("setup token-refresh", Never),
    ("simulate", Never),
    ("slo", Never),
    ("verify", In("verify")),
    ("why", In("commands/why_pull")),
];

/// Returns each command, by the help of the program.
pub(super) fn commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(path) = open.pop() {
        let below = subcommands(&path);
        if below.is_empty() {
            found.insert(path.join(" "));
        }
        open.extend(below.into_iter().map(|name| [&path[..], &[name]].concat()));
    }
    found
}

/// Returns the help of a command.
pub(super) fn help(path: &[String]) -> String {
    let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let output = jitgate(&args).output().expect("jitgate runs");
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn subcommands(path: &[String]) -> Vec<String> {
    let help = help(path);
    let listed = help
        .split_once("\nCommands:\n")
        .map(|(_, listed)| listed)
        .unwrap_or_default();
    let names = listed
        .lines()
        .take_while(|line| !line.is_empty())
        // The further lines of a description are indented by more.
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn each_command_that_asks_github_has_a_test_of_its_refusals() {
    let listed: BTreeSet<String> = COMMANDS.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(listed, commands());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (command, tested) in COMMANDS {
        let (In(file) | Repeats(file)) = tested else { continue };
        let folder = if file.contains('/') || *file == "serve" || *file == "pool" && matches!(tested, Repeats(_)) {
            root.clone()
        } else {
            root.join("documented")
        };
        let is_there = folder.join(format!("{file}.rs")).exists() || folder.join(file).is_dir();
        assert!(is_there, "{command}: {file}");
    }
}

/// A stage with a store and a variable that keeps its value.
pub(super) fn stage(value: &str) -> Stage {
    let stage = Stage::set();
    stage.create_store();
    let value = Arc::new(Mutex::new(value.to_owned()));
    let shown = Arc::clone(&value);
    stage.github.react(READ, move |call| {
        let (name, value, time) = (
            &call.variables["name"],
            shown.lock().expect("the value").clone(),
            "2026-01-01T00:00:00Z",
        );
        (
            200,
            json!({"name": name, "value": value, "created_at": time, "updated_at": time}),
        )
    });
    stage.github.react(WRITE, move |call| {
        let new = call.body["value"].as_str().unwrap_or_default();
        new.clone_into(&mut value.lock().expect("the value"));
        (204, Value::Null)
    });
    stage
        .github
        .answer(RUNNERS, 200, json!({"total_count": 0, "runners": []}));
    stage
}

/// A stage whose canary waits for `rollout advance`.
pub(super) async fn before_an_advance() -> Stage {
    let stage = stage("false");
    change_rollout(&stage, |record| record.canary.phase = Phase::Stopped).await;
    stage
}

/// Changes the record of the rollout.
pub(super) async fn change_rollout(stage: &Stage, change: impl Fn(&mut RolloutRecord) + Sync) {
    let loaded = config::load(Sources {
        file: FileSource::Path(stage.at("jitgate.toml")),
        ..Sources::default()
    });
    let config = loaded.expect("a configuration").config;
    let store = runtime::open_store(&config, Arc::new(SystemClock)).expect("a store");
    let day = Duration::from_secs(86_400);
    let changed = records::update(
        store.ledger.as_ref(),
        REPOSITORY,
        day,
        |record: &mut Option<RolloutRecord>| {
            change(record.get_or_insert_default());
        },
    );
    changed.await.expect("the store answers");
}

/// A person who holds a canary.
pub(super) fn person() -> Origin {
    Origin::unknown(SystemClock.now())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_cannot_be_read_leaves_routing_as_it_is() {
    // A variable that does not exist is an answer: routing is off.
    let missing = [(READ, 404)];
    let on = stage("true");
    on.assert_refusals_have_a_remedy(&["routing", "guard"], &[READ], &missing);
    on.assert_refusals_have_a_remedy(&["routing", "guard"], &[RUNNERS], &[]);
    on.assert_refusals_have_a_remedy(&["routing", "disable", "--dry-run"], &[READ], &missing);
    let off = stage("false");
    off.assert_refusals_have_a_remedy(&["routing", "enable"], &[READ], &missing);
    for stage in [on, off] {
        assert_eq!(stage.github.changes(), [""; 0]);
        stage.github.assert_as_documented();
    }
}

/// Each write is repeated for a minute if its failure can pass, so they run at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_cannot_be_written_is_reported_with_another_way() {
    let commands = [("disable", "true"), ("enable", "false"), ("guard", "true")];
    // GitHub's 404 is about a variable that does not exist: it is created.
    let faults = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Status(404));
    let all = faults.flat_map(|fault| commands.map(|command| (command, fault)));
    let running = all.map(|((command, value), fault)| {
        let stage = stage(value);
        stage.github.fail(WRITE, fault);
        tokio::task::spawn_blocking(move || {
            let answer = stage.run(&["routing", command]);
            let context = format!("routing {command}, {fault:?}: {}{}", answer.out, answer.err);
            assert_eq!(answer.code, 4, "{context}");
            assert!(stage.github.calls_of(WRITE) > 0, "{context}");
            assert!(fault.is_met_by(&answer.err), "{context}");
            assert!(answer.err.contains("or set it by hand: gh variable set"), "{context}");
        })
    });
    for ended in running.collect::<Vec<_>>() {
        ended.await.expect("the expectations are met");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runners_that_a_hard_stop_removes_can_refuse_it() {
    let stage = stage("true");
    let runner = json!({"id": 1, "name": "chem-jit-abcdefgh-11-1", "os": "linux", "status": "online", "busy": false, "labels": []});
    stage
        .github
        .answer(RUNNERS, 200, json!({"total_count": 1, "runners": [runner]}));
    let hard = ["routing", "disable", "--hard"];
    stage.assert_refusals_have_a_remedy(&hard, &[RUNNERS], &[]);
    // A runner that is gone or runs a job is an answer.
    stage.assert_refusals_have_a_remedy(&hard, &[DELETE], &[(DELETE, 404), (DELETE, 422)]);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_advances_only_if_github_confirms_it() {
    let stage = before_an_advance().await;
    let advance = ["rollout", "advance", "--why", "all green"];
    // A variable that does not exist is created.
    stage.assert_refusals_have_a_remedy(&advance, &[WRITE], &[(WRITE, 404)]);
    // It may take a moment until GitHub shows it.
    stage.assert_refusals_have_a_remedy(&advance, &[READ], &[(READ, 404)]);
    stage.github.answer(READ, 404, json!({"message": "Not Found"}));
    let answer = stage.run(&advance);
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(answer.err.contains("remedy: run the command again"), "{}", answer.err);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_lost_deliveries_reports_both_of_its_sources() {
    let stage = stage("true");
    stage.github.answer(LOG, 200, json!([]));
    stage
        .github
        .answer(RUNS, 200, json!({"total_count": 0, "workflow_runs": []}));
    let recover = ["delivery", "recover"];
    assert_eq!(stage.run(&recover).code, 0);
    stage.assert_refusals_have_a_remedy(&recover, &[LOG, RUNS], &[]);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_accepted_only_if_github_shows_it() {
    let stage = stage("true");
    let accept = ["repository", "accept", "--why", "it was transferred"];
    // A name that GitHub does not know is a negative answer.
    stage.assert_refusals_have_a_remedy(&accept, &[PLACE], &[(PLACE, 404)]);
    stage.github.answer(PLACE, 404, json!({"message": "Not Found"}));
    let answer = stage.run(&accept);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(
        answer.err.contains("unknown to GitHub") && answer.err.contains("jitgate: remedy: "),
        "{}",
        answer.err
    );
    stage.github.assert_as_documented();
}
