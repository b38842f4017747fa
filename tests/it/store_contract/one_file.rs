//! Stories of the SQLite file: who may open it, what it must be, and that it keeps everything.

use super::engine::*;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::sqlite::{OpenError, OpenMode, SqliteStore};
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use jitgate::ports::queue::{Accepted, DeliveryState};
use jitgate::ports::{Ledger, Queue};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;

fn open(path: &Path, mode: OpenMode) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, mode, Arc::new(ManualClock::at(moment(0))), AMPLE)
}

fn serve(path: &Path) -> SqliteStore {
    open(path, OpenMode::Serve).expect("the store opens")
}

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("state/jitgate.db");
    (folder, path)
}

/// A database with this in it.
fn database(sql: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("jitgate.db");
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch(sql).expect("the statements are right");
    (folder, path)
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let store = serve(&path);
    for (job, id) in (0..).zip(["done", "dead", "held", "late", "next"]) {
        delivery(id).of_job(job).received(7).enters(&store).await;
    }
    assert_eq!(store.accept(ignored("ignored")).await, Ok(Accepted::Taken));
    let [done, dead, held, late] = <[_; 4]>::try_from(claim(&store, 4).await).expect("four leases");
    ack(&store, done).await;
    bury(&store, dead).await;
    retry(&store, late, LONG).await;
    let key = Key::new(Kind::Job, 7);
    assert_eq!(store.put(&key, "x", None, Keep::Forever).await, Ok(Put::Written(1)));
    let before = (newest(&store, 10).await, store.depth().await, store.get(&key).await);
    drop(store);

    let store = serve(&path);
    let after = (newest(&store, 10).await, store.depth().await, store.get(&key).await);
    assert_eq!(after, before);
    ack(&store, held).await;
    assert_eq!(
        state(&store, "held").await,
        Some(DeliveryState::Done),
        "the lease goes on"
    );
    assert_eq!(claim_only(&store, "next").await.body, b"next");
}

#[tokio::test]
async fn one_serves_and_others_work_beside_it() {
    let (_folder, path) = folder();
    let serving = Arc::new(serve(&path));
    let held = open(&path, OpenMode::Serve)
        .map(|_| ())
        .expect_err("one serves already");
    assert!(matches!(held, OpenError::Held { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(
        held.to_string().contains(&format!("process {}", std::process::id())),
        "{held}"
    );
    let link = path.with_file_name("other-name.db");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let held = open(&link, OpenMode::Serve).map(|_| ()).expect_err("the same file");
    assert!(matches!(held, OpenError::Held { .. }), "{held}");

    let beside = Arc::new(open(&path, OpenMode::Command).expect("commands may"));
    delivery("a").enters(&*serving).await;
    assert_eq!(state(&*beside, "a").await, Some(DeliveryState::Queued));
    bury(&*serving, claim_only(&*serving, "a").await).await;
    assert_eq!(beside.requeue(&guid("a")).await, Ok(true));
    ack(&*serving, claim_only(&*serving, "a").await).await;

    let mut senders = JoinSet::new();
    for n in 0..20 {
        let store = if n % 2 == 0 { serving.clone() } else { beside.clone() };
        senders.spawn(async move { delivery("b").arrives(&*store).await });
    }
    let answers = senders.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Accepted::Taken).count(), 1);

    drop(serving);
    drop(open(&path, OpenMode::Serve).expect("the lock is free"));
}

#[test]
fn other_users_cannot_read_the_file() {
    let (_folder, path) = folder();
    let _store = serve(&path);
    let folder = path.parent().expect("a folder");
    let mode = |path: &Path| path.metadata().expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let files = folder
        .read_dir()
        .expect("readable")
        .map(|entry| entry.expect("an entry").path());
    let modes: Vec<_> = files.map(|file| (mode(&file), file)).collect();
    assert!(modes.len() >= 3, "database, log and lock: {modes:?}");
    assert!(modes.iter().all(|(mode, _)| *mode == 0o600), "{modes:?}");
}

#[test]
fn only_a_file_of_ours_is_opened() {
    let (_folder, path) = folder();
    let missing = open(&path, OpenMode::Command)
        .map(|_| ())
        .expect_err("it does not exist");
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(!path.exists());

    let (_folder, path) = database("CREATE TABLE recipes (name TEXT); PRAGMA user_version = 1");
    let foreign = open(&path, OpenMode::Serve).map(|_| ()).expect_err("not ours");
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");

    let (_folder, path) = database("PRAGMA application_id = 0x6a697467; PRAGMA user_version = 1000");
    let newer = open(&path, OpenMode::Serve).map(|_| ()).expect_err("from the future");
    assert!(matches!(newer, OpenError::Newer { found: 1000, .. }), "{newer}");

    std::fs::write(&path, "no database, but long enough to be taken for one ".repeat(100)).expect("written");
    let other = open(&path, OpenMode::Serve).map(|_| ()).expect_err("no database");
    assert!(matches!(other, OpenError::Database { .. }), "{other}");
}

/// `file_v1.sql` is what version 1 left behind, and stays as it is for ever: later versions have to read it.
#[tokio::test]
async fn a_file_of_an_earlier_version_is_read() {
    let (_folder, path) = database(include_str!("file_v1.sql"));
    let store = serve(&path);
    let listed = newest(&store, 10).await;
    let states: Vec<_> = listed.iter().map(|found| (found.id.as_str(), found.state)).collect();
    let expected = [
        ("ignored", DeliveryState::Ignored),
        ("waiting", DeliveryState::Queued),
        ("leased", DeliveryState::Leased),
        ("dead", DeliveryState::Dead),
        ("done", DeliveryState::Done),
    ];
    assert_eq!(states, expected);
    assert_eq!(body(&store, "done").await, Some(b"abc".repeat(40)), "an LZ4 block");
    assert_eq!(
        known(&store, "dead").await.expect("known").cause.as_deref(),
        Some("unreadable")
    );
    assert_eq!(store.depth().await.expect("the store answers").body_bytes, 123);
    assert_eq!(claim_only(&store, "waiting").await.body, b"raw");
    let record = store.get(&Key::new(Kind::Job, 7)).await.expect("the store answers");
    let record = record.expect("the record");
    assert_eq!((record.version, record.value.as_str()), (3, r#"{"v":1}"#));
    delivery("new").of_job(9).enters(&store).await;
}
