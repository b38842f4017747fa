//! The lock of the pool, and the credentials of its holder.

use super::stage::Stage;
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
use serde_json::{Value, json};

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
