//! Stories of processes that end badly. Each test starts itself again as the process that does; what that one says on
//! its standard output was answered by the store before.
#![expect(clippy::disallowed_methods, reason = "how a test tells itself that it is the child")]

use super::engine::*;
use chrono::TimeDelta;
use jitgate::adapters::clock::{ManualClock, SystemClock};
use jitgate::adapters::sqlite::{OpenMode, SqliteStore};
use jitgate::ports::queue::{Accepted, DeliveryState};
use jitgate::ports::{Clock, Failure, Queue};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Tells the child which file it works on.
const FILE: &str = "JITGATE_TEST_FILE";
/// Tells it a word to begin its GUIDs with.
const ROUND: &str = "JITGATE_TEST_ROUND";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn accepted_deliveries_survive_a_kill() {
    if let Some(file) = std::env::var_os(FILE) {
        return storm(Path::new(&file)).await;
    }
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("jitgate.db");
    for (round, answers) in [1, 50, 150, 400, 700].into_iter().enumerate() {
        let mut child = again("store_contract::killed::accepted_deliveries_survive_a_kill", &[]);
        let mut child = child
            .env(FILE, &file)
            .env(ROUND, format!("r{round}"))
            .spawn()
            .expect("the test starts itself");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = said.map(|line| line.expect("text"));
        let mut heard: Vec<String> = said
            .by_ref()
            .filter(|line| line.starts_with("taken "))
            .take(answers)
            .collect();
        child.kill().expect("SIGKILL");
        heard.extend(said);
        child.wait().expect("it ended");
        after_the_kill(&file, &heard).await;
    }
}

/// Takes and works on deliveries until it is killed.
async fn storm(file: &Path) {
    let store = SqliteStore::open(file, OpenMode::Serve, Arc::new(SystemClock), AMPLE);
    let store = Arc::new(store.expect("the one before is dead"));
    let round = std::env::var(ROUND).expect("a word");
    for sender in 0..8 {
        let (store, round) = (store.clone(), round.clone());
        tokio::spawn(async move {
            for n in 0.. {
                let id = format!("{round}-{sender}-{n}");
                delivery(&id).of_job(n).with_body(bulky(&id)).enters(&*store).await;
                println!("taken {id}");
            }
        });
    }
    loop {
        store.wait(LONG).await;
        for lease in claim(&*store, 4).await {
            let id = lease.id.clone();
            ack(&*store, lease).await;
            println!("done {id}");
        }
    }
}

async fn after_the_kill(file: &Path, heard: &[String]) {
    // The leases of the dead process are over by then.
    let later = SystemClock.now() + TimeDelta::hours(2);
    let store = SqliteStore::open(file, OpenMode::Serve, Arc::new(ManualClock::at(later)), AMPLE);
    let store = store.expect("the lock went with the process");
    let told = |what: &str| -> BTreeSet<String> {
        let told = heard.iter().filter_map(|line| line.strip_prefix(what));
        told.map(str::to_owned).collect()
    };
    let (taken, done) = (told("taken "), told("done "));
    assert!(!taken.is_empty());
    for id in &taken {
        assert_eq!(body(&store, id).await, Some(bulky(id)), "{id} is lost");
        assert_eq!(delivery(id).arrives(&store).await, Accepted::AlreadySeen, "{id}");
    }
    for id in &done {
        assert_eq!(state(&store, id).await, Some(DeliveryState::Done), "{id}");
    }
    let mut worked_on = BTreeSet::new();
    loop {
        let leases = claim(&store, 100).await;
        if leases.is_empty() {
            break;
        }
        for lease in leases {
            assert!(worked_on.insert(lease.id.to_string()), "{} came twice", lease.id);
            ack(&store, lease).await;
        }
    }
    assert!(worked_on.is_disjoint(&done), "what was done came again");
    for id in taken {
        assert_eq!(state(&store, &id).await, Some(DeliveryState::Done), "{id}");
    }
    drop(store);
    assert_is_sound(file);
}

#[tokio::test]
async fn a_disk_that_gives_out_loses_nothing_and_keeps_no_halves() {
    if let Some(file) = std::env::var_os(FILE) {
        return fill(Path::new(&file)).await;
    }
    let folder = TempDir::new().expect("a folder");
    let file: PathBuf = folder.path().join("jitgate.db");
    // No file of the child gets longer than 2 MiB, and writing on is an error instead of a signal.
    let limited = ["sh", "-c", r#"ulimit -f 4096; trap "" XFSZ; exec "$@""#, "sh"];
    let mut child = again(
        "store_contract::killed::a_disk_that_gives_out_loses_nothing_and_keeps_no_halves",
        &limited,
    );
    let output = child.env(FILE, &file).output().expect("sh starts");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}");

    let store = SqliteStore::open(&file, OpenMode::Serve, Arc::new(SystemClock), AMPLE);
    let store = store.expect("it can be opened");
    let told = |what| said.lines().filter_map(move |line| line.strip_prefix(what));
    assert!(told("taken ").count() > 5 && told("refused ").count() > 5, "{said}");
    for id in told("taken ") {
        assert_eq!(body(&store, id).await, Some(bulky(id)), "{id} is lost");
    }
    for id in told("refused ") {
        assert_eq!(known(&store, id).await, None, "{id} was kept by half");
        delivery(id).of_job(1).with_body(bulky(id)).enters(&store).await;
    }
    drop(store);
    assert_is_sound(&file);
}

/// Takes deliveries until the disk is full, and looks at them after that.
async fn fill(file: &Path) {
    let store = SqliteStore::open(file, OpenMode::Serve, Arc::new(SystemClock), AMPLE).expect("the store opens");
    let mut refused = 0;
    for n in 0..1000_u64 {
        let id = format!("d{n}");
        let work = delivery(&id).of_job(n).with_body(bulky(&id));
        match store.accept(work.into_arrival()).await {
            Ok(answer) => {
                assert_eq!(answer, Accepted::Taken);
                println!("taken {id}");
            }
            Err(failure) => {
                assert!(matches!(failure, Failure::Transient(_)), "{failure:?}");
                println!("refused {id}");
                refused += 1;
            }
        }
        if refused == 10 {
            break;
        }
    }
    assert_eq!(
        state(&store, "d0").await,
        Some(DeliveryState::Queued),
        "reading goes on"
    );
}

/// This test binary again, running one test.
fn again(test: &str, through: &[&str]) -> Command {
    let this = std::env::current_exe().expect("a path");
    let mut command = match through {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command.args([test, "--exact", "--nocapture"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// 20 kB that do not compress, told apart by `id`.
fn bulky(id: &str) -> Vec<u8> {
    let mut seed = id
        .bytes()
        .fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    });
    noise.take(20_000).collect()
}

fn assert_is_sound(file: &Path) {
    let connection = Connection::open(file).expect("a database");
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("it answers");
    assert_eq!(verdict, "ok");
    let dangling: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("it answers");
    assert_eq!(dangling, 0, "bodies without a delivery");
    let counted = "SELECT (SELECT unfinished, unfinished_bytes, body_bytes FROM totals) = (
            count(*) FILTER (WHERE finished_at IS NULL),
            coalesce(sum(body_bytes) FILTER (WHERE finished_at IS NULL), 0),
            coalesce(sum(body_bytes), 0))
        FROM deliveries";
    let is_right: bool = connection.query_row(counted, [], |row| row.get(0)).expect("it answers");
    assert!(is_right, "the totals are wrong");
}
