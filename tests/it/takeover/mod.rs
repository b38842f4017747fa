//! This version takes over a state directory and a Redis that an earlier version wrote.
//!
//! The recordings are real. A worker of commit 0eac995 served the simulated GitHub on the local host with two slots, and was
//! killed with jobs in each state:
//!
//! | job | state |
//! |---|---|
//! | 101 | completed on a runner of its own |
//! | 102 | running on its runner |
//! | 103 | its runner boots |
//! | 104 | waits for a slot |
//! | 105, 108 | untrusted and cancelled; their alerts are resolved and acknowledged |
//! | 106 | its delivery waits for the next try, since GitHub was unavailable |
//! | 107 | its delivery is leased |
//!
//! There are also an unreadable delivery and an ignored one. `sqlite.sql` is the database, `redis.jsonl` has one Redis command
//! a line, and `slots.jsonl` has the path and the text of each file of the slots. Times are relative to the kill: `<ms-5>` in
//! milliseconds since the epoch, `<at-5>` as RFC 3339.

use crate::runners::stage::{RUNNER_PROGRAM, Stage, needs};
use crate::support::gate::{Gate, Place};
use crate::support::payload::{body, guid};
use crate::support::redis::{DURABLE, Server};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use jitgate::simulator::{Client, Simulator};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

const SQLITE: &str = include_str!("sqlite.sql");
const SQLITE_INSTANCE: &str = "rihqjcig";
const SLOTS: &str = include_str!("slots.jsonl");
const REDIS: &str = include_str!("redis.jsonl");
const REDIS_INSTANCE: &str = "z82weyd6";

/// The worker was killed so long ago: its leases and its claim of the instance name are over.
const DOWNTIME: TimeDelta = TimeDelta::seconds(60);

/// Returns a recording with its times filled in.
fn render(recording: &str) -> String {
    let killed_at = SystemClock.now() - DOWNTIME;
    let mut parts = recording.split('<');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match token(part, killed_at) {
            Some((time, rest)) => text.extend([&time, rest]),
            None => text.extend(["<", part]),
        }
    }
    text
}

/// Reads `ms-5>` or `at-5>`, and returns the time and the text behind it.
fn token(part: &str, killed_at: DateTime<Utc>) -> Option<(String, &str)> {
    let (token, rest) = part.split_once('>')?;
    let time = |offset: &str| Some(killed_at + TimeDelta::milliseconds(offset.parse().ok()?));
    let text = match token.split_at_checked(2)? {
        ("ms", offset) => time(offset)?.timestamp_millis().to_string(),
        ("at", offset) => time(offset)?.to_rfc3339_opts(SecondsFormat::Millis, true),
        _ => return None,
    };
    Some((text, rest))
}

/// Returns a directory with the recorded database.
fn sqlite_directory() -> Place {
    let place = Place::new();
    place.file("jitgate-state/instance", SQLITE_INSTANCE, 0o600);
    let database = Connection::open(place.path("jitgate.db")).expect("a database");
    database.execute_batch(&render(SQLITE)).expect("the recording is SQL");
    place
}

fn restore_slots(place: &Place) {
    for line in render(SLOTS).lines() {
        let (path, text): (String, String) = serde_json::from_str(line).expect("a path and a text");
        place.file(&format!("jitgate-state/{path}"), &text, 0o600);
    }
}

fn restore_redis(server: &Server) {
    let mut connection = BufReader::new(TcpStream::connect(server.address()).expect("a connection"));
    for line in render(REDIS).lines() {
        let arguments: Vec<String> = serde_json::from_str(line).expect("a command");
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            // Each character is one byte.
            let bytes: Vec<u8> = argument.chars().map(|c| u8::try_from(c).expect("a byte")).collect();
            request.extend(format!("${}\r\n", bytes.len()).bytes());
            request.extend(bytes);
            request.extend(b"\r\n");
        }
        connection.get_mut().write_all(&request).expect("it is sent");
        let mut answer = String::new();
        connection.read_line(&mut answer).expect("an answer");
        assert!(!answer.starts_with('-'), "{line}: {answer}");
        // An answer of several lines: XCLAIM returns a list of ids.
        if let Some(items) = answer.strip_prefix('*') {
            for _ in 0..2 * items.trim().parse::<usize>().expect("a number") {
                connection.read_line(&mut answer).expect("an item");
            }
        }
    }
}

fn labels(run: u64) -> Value {
    json!([
        "self-hosted",
        "linux",
        "x64",
        "chem-trusted-pr",
        format!("chem-run-{run}")
    ])
}

/// Returns GitHub as it was at the kill. The machine is down, so both runners are offline.
fn world(instance: &str) -> Value {
    let head = "c0ffee00".repeat(5);
    let stranger = |number: u64, author: &str| {
        json!({"number": number, "author": author, "association": "NONE", "files": [".github/workflows/ci.yml"],
               "head": {"repository": format!("{author}/chem-model"), "branch": "main", "sha": head}})
    };
    let run = |id: u64, pull: u64, mut job: Value| {
        job["labels"] = labels(id);
        json!({"id": id, "pull": pull, "jobs": [job]})
    };
    let runner = |id: u64, job: u64, run: u64| json!({"id": id, "name": format!("chem-jit-{instance}-{job}-1"), "labels": labels(run), "status": "offline"});
    json!({
        "permissions": {"alice": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "pulls": [
            {"number": 7, "head": {"sha": head, "branch": "topic"}},
            stranger(8, "mallory"),
            stranger(9, "eve"),
        ],
        "runs": [
            run(21, 7, json!({"id": 101, "status": "completed"})),
            run(22, 7, json!({"id": 102, "status": "in_progress", "runner_id": 10002,
                              "runner_name": format!("chem-jit-{instance}-102-1")})),
            run(23, 7, json!({"id": 103})),
            run(24, 7, json!({"id": 104})),
            run(25, 8, json!({"id": 105, "status": "completed", "conclusion": "cancelled"})),
            run(26, 7, json!({"id": 106})),
            run(27, 7, json!({"id": 107})),
            run(28, 9, json!({"id": 108, "status": "completed", "conclusion": "cancelled"})),
        ],
        "runners": [runner(10002, 102, 22), runner(10003, 103, 23)],
    })
}

/// Everything goes on where the earlier version was killed.
async fn work_goes_on(stage: &mut Stage, instance: &str) {
    let alerts = stage.gate.ask("/api/v1/alerts").await.body;
    let alerts = alerts["alerts"].as_array().expect("a list").iter();
    let mut alerts: Vec<_> = alerts
        .map(|alert| (alert["kind"].as_str(), alert["state"].as_str()))
        .collect();
    alerts.sort_unstable();
    let attempt = Some("untrusted-on-self-hosted");
    let expected = [
        (Some("unreadable-delivery"), Some("open")),
        (attempt, Some("acked")),
        (attempt, Some("resolved")),
    ];
    assert_eq!(alerts, expected);
    for (number, state) in [(1, "done"), (12, "dead"), (13, "ignored")] {
        let delivery = stage
            .gate
            .ask(&format!("/api/v1/deliveries/{}", guid(number)))
            .await
            .body;
        assert_eq!(delivery["delivery"]["state"], state, "{delivery}");
    }
    assert_eq!(
        stage
            .gate
            .deliver("workflow_job", &guid(1), body("queued", 101))
            .await
            .status,
        200,
        "a known GUID"
    );
    let story = stage.story(101).await;
    assert_eq!(story["service"], "closed", "{story}");
    assert_eq!(story["runner"]["outcome"], "completed", "{story}");

    // The runner of 102 is lost with its slot, and GitHub fails its job. The others run.
    stage
        .gate
        .ask_until("/api/v1/jobs/102", |story| story["runner"]["outcome"].is_string())
        .await;
    let failed = json!({"runs": [{"id": 22, "jobs": [{"id": 102, "status": "completed", "conclusion": "failure"}]}]});
    stage.github.apply(&failed).await.expect("a change");
    stage.deliver("completed", 102).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    for job in [103, 104, 106, 107] {
        assert!(tally.jobs[&job].ran, "job {job}: {tally:?}");
        let runner = tally.jobs[&job].runner.as_deref().unwrap_or_default();
        assert!(runner.starts_with(&format!("chem-jit-{instance}-{job}-")), "{runner}");
    }
    for job in 101..=108 {
        let is_over = |story: &Value| story["runner"].is_null() || story["runner"]["state"] == "destroyed";
        stage.gate.ask_until(&format!("/api/v1/jobs/{job}"), is_over).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_of_an_earlier_version_goes_on() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let place = sqlite_directory();
    restore_slots(&place);
    let slots = place.path(&format!("jitgate-state/local/{SQLITE_INSTANCE}/slots"));
    let recorded: Vec<_> = std::fs::read_dir(&slots).expect("slots").flatten().collect();
    assert_eq!(recorded.len(), 2);
    let mut stage = Stage::set_in(place, RUNNER_PROGRAM, world(SQLITE_INSTANCE), &[]).await;
    work_goes_on(&mut stage, SQLITE_INSTANCE).await;
    for slot in recorded {
        assert!(!slot.path().exists(), "{} is left", slot.path().display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_an_earlier_version_goes_on() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let server = Server::start(DURABLE);
    restore_redis(&server);
    server.cli(&["CONFIG", "SET", "requirepass", "p@ss"]);
    let place = Place::new();
    place.file("jitgate-state/instance", REDIS_INSTANCE, 0o600);
    let url = format!("redis://:p%40ss@{}", server.address());
    let mut stage = Stage::set_in(place, RUNNER_PROGRAM, world(REDIS_INSTANCE), &[("store.url", &url)]).await;
    work_goes_on(&mut stage, REDIS_INSTANCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pin_of_an_earlier_version_holds() {
    let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
    let github = Client::new(simulator.url(), reqwest::Client::new());
    let mut world = world(SQLITE_INSTANCE);
    world["repositories"] = json!([{"full_name": "octo-org/chem-model", "id": 4242}]);
    github.apply(&world).await.expect("a world");
    let place = sqlite_directory();
    let database = format!("sqlite:{}", place.path("jitgate.db").display());
    let gate = Gate::start_in(place, simulator.url(), &[("store.url", &database)], &[]).await;
    let is_reported = |answer: &Value| answer.to_string().contains("repository-changed");
    gate.ask_until("/api/v1/alerts", is_reported).await;
}
