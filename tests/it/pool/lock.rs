//! The lock of the pool, and the credentials of its holder.

use super::stage::Stage;
use crate::support::gate::{Place, Settings, TIMEOUT};
use crate::support::stores::on_each_store;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use jitgate::runtime::{PoolAccess, PoolLock, PoolLockError};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tokio::time::timeout;

/// The time for which the lock of a holder that has ended is awaited.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

async fn one_supervisor_has_the_pool_until_it_ends(store: Settings<'_>) {
    let stage = Stage::set(store).await;
    let mut first = stage.supervise(&["--interval", "15"]).await;
    let lock = stage.status().await["lock"].clone();
    assert_eq!(lock["pid"], first.id());
    let (host, since) = (
        lock["host"].as_str().expect("a name"),
        lock["since"].as_str().expect("a time"),
    );
    let named = [
        format!("pid {} on {host} since {}", first.id(), &since[..19]),
        "systemctl stop".to_owned(),
    ];
    for command in [
        &["pool", "supervise"][..],
        &["pool", "reconcile"],
        &["serve", "--role", "worker"],
    ] {
        let answer = stage.run(command).await;
        assert_eq!(answer.code, 7, "{command:?}: {}", answer.err);
        assert!(
            named.iter().all(|part| answer.err.contains(part)),
            "{command:?}: {}",
            answer.err
        );
    }

    // A kill releases it, and so does a stop.
    first.signal("KILL");
    assert_eq!(first.code().await, None);
    assert_eq!(stage.status().await["lock"], Value::Null);
    let mut second = stage.supervise(&[]).await;
    assert_eq!(stage.status().await["lock"]["pid"], second.id());
    second.terminate();
    assert_eq!(second.code().await, Some(0), "{}", second.err.text());
    assert_eq!(stage.status().await["lock"], Value::Null);
    let pass = stage.run(&["pool", "reconcile"]).await;
    assert_eq!(pass.code, 0, "{}", pass.err);
}
on_each_store!(one_supervisor_has_the_pool_until_it_ends);

#[tokio::test]
async fn workers_of_serve_share_the_lock_and_the_last_one_is_named() {
    let place = Place::new();
    let state = place.path("state");
    assert_eq!(PoolLock::holder(&state).expect("no file"), None);
    let take = async |access, command| PoolLock::take(&state, access, command, SystemClock.now()).await;
    let first = take(PoolAccess::Shared, "serve").await.expect("a free lock");
    let second = take(PoolAccess::Shared, "serve --role worker")
        .await
        .expect("a shared lock");
    let named = |command: &str| {
        let holder = PoolLock::holder(&state).expect("a file").expect("a holder");
        assert_eq!((holder.command.as_str(), holder.pid), (command, std::process::id()));
    };
    named("serve --role worker");
    // The first one leaves the name of the second one in the file.
    drop(first);
    named("serve --role worker");
    let refused = take(PoolAccess::Alone, "pool supervise")
        .await
        .expect_err("it is shared");
    assert!(
        matches!(refused, PoolLockError::Held { holder: Some(_), .. }),
        "{refused:?}"
    );

    drop(second);
    assert_eq!(fs::read_to_string(state.join("pool.lock")).expect("the file stays"), "");
    let alone = take(PoolAccess::Alone, "pool supervise").await.expect("a free lock");
    for access in [PoolAccess::Alone, PoolAccess::Shared] {
        let refused = take(access, "serve").await.expect_err("it is held");
        assert!(refused.to_string().contains("`jitgate pool supervise`"), "{refused}");
    }
    drop(alone);
    assert_eq!(PoolLock::holder(&state).expect("a file"), None);
}

/// The remains of a holder: a child process that it had just forked keeps the lock for a moment.
#[tokio::test]
async fn the_lock_of_a_holder_that_has_ended_is_awaited_for_some_seconds() {
    let place = Place::new();
    let state = place.path("state");
    let take = async || PoolLock::take(&state, PoolAccess::Alone, "pool reconcile", SystemClock.now()).await;
    drop(take().await.expect("a free lock"));
    let path = state.join("pool.lock");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let holder = |pid: u32, host: &str| {
        json!({"pid": pid, "host": host.trim(), "since": "2026-01-01T00:00:00Z", "command": "pool supervise"})
            .to_string()
    };
    // No process has the highest number.
    let ended = u32::MAX >> 1;
    for (text, is_awaited) in [
        (String::new(), true),
        (holder(ended, &host), true),
        (holder(std::process::id(), &host), false),
        (holder(ended, "another-machine"), false),
    ] {
        let child = fs::File::open(&path).expect("the file");
        child.lock().expect("a lock");
        fs::write(&path, &text).expect("it is ours");
        let taking = timeout(RELEASE_TIMEOUT - Duration::from_secs(1), take());
        if is_awaited {
            let (taken, ()) = tokio::join!(taking, async {
                tokio::task::yield_now().await;
                drop(child);
            });
            drop(taken.expect("it does not wait for more").expect("the lock is free now"));
        } else {
            let refused = taking.await.expect("it does not wait").expect_err("it is not free");
            assert!(matches!(refused, PoolLockError::Held { .. }), "{text}: {refused:?}");
        }
    }
    let child = fs::File::open(&path).expect("the file");
    child.lock().expect("a lock");
    fs::write(&path, holder(ended, &host)).expect("it is ours");
    let refused = timeout(TIMEOUT, take())
        .await
        .expect("it gives up")
        .expect_err("it is not free");
    assert!(matches!(refused, PoolLockError::Held { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_serve_keeps_a_supervisor_away() {
    let (gate, rest) = Stage::set(&[]).await.serve(&[]).await;
    let answer = rest.run(&gate, &["pool", "supervise"]).await;
    assert_eq!(answer.code, 7, "{}", answer.err);
    assert!(
        answer
            .err
            .contains(&format!("`jitgate serve`, pid {}", gate.process.id())),
        "{}",
        answer.err
    );
    let stage = rest.with(gate.killed());
    drop(stage.supervise(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_credentials_are_used_without_a_restart() {
    let stage = Stage::set(&[]).await;
    let stranger = json!({"runners": [{"id": 5, "name": "stranger", "labels": ["self-hosted"]}]});
    stage.github.apply(&stranger).await.expect("a runner");
    let token = stage.place.path("token").display().to_string();
    stage.place.file("token", "ghp_of_yesterday", 0o600);
    let flags = ["--interval", "1", "--token-source", "file", "--token-file", &token];
    let mut supervisor = stage.supervise(&flags).await;
    supervisor.err.line_with("GitHub rejects the configured token").await;

    // A file that others can read holds no secret.
    stage.place.file("token", "sim-test", 0o644);
    let refused = supervisor.err.line_with("the former ones stay in use").await;
    assert!(refused.contains("readable by others"), "{refused}");
    stage.place.file("token", "sim-test", 0o600);
    supervisor.err.line_with("the new ones are in use").await;
    // GitHub's list of runners is readable now.
    supervisor.err.line_with("listed as known: stranger").await;
    let said = supervisor.err.text();
    assert!(
        !said.contains("sim-test") && !said.contains("ghp_of_yesterday"),
        "{said}"
    );
}
