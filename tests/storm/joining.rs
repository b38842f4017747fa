//! Workers that join and leave during work, and the ways to configure the address and the user of Redis.

use crate::cluster::Cluster;
use crate::gate::{Gate, Place};
use crate::github::GitHub;
use crate::payload::{body, guid};
use crate::redis::{DURABLE, Server};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Starts a GitHub with jobs of a push, which delays its answer about their run.
async fn slow_github(delay_s: u32) -> std::sync::Arc<GitHub> {
    let jobs: Vec<_> = (101..=120).map(|id| json!({"id": id})).collect();
    let world = json!({
        "runs": [{"id": 20, "event": "push", "head": {"sha": "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"}, "jobs": jobs}],
        "faults": [{"endpoint": "get-run", "delay_s": delay_s, "times": 1000}],
    });
    GitHub::of(&world).await
}

async fn deliver(cluster: &Cluster, jobs: std::ops::RangeInclusive<u64>) {
    for job in jobs {
        let number = usize::try_from(job).expect("small");
        let answer = cluster
            .gate(0)
            .deliver("workflow_job", &guid(number), body("queued", job))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_returns_its_leases() {
    // Longer than the shutdown timeout of a worker.
    let github = slow_github(12).await;
    let mut cluster = Cluster::on_redis(&github, &["ingress", "worker"]).await;
    deliver(&cluster, 101..=110).await;
    let held = |status: &serde_json::Value| status["queue"]["leased"] == 10;
    cluster.gate(0).ask_until("/api/v1/status", held).await;

    let asked = Instant::now();
    let leaving = &mut cluster.gate_mut(1).process;
    leaving.terminate();
    assert_eq!(leaving.code().await, Some(0), "{}", leaving.err.text());
    assert!(asked.elapsed() < Duration::from_secs(10), "after {:?}", asked.elapsed());
    let queue = cluster.gate(0).ask("/api/v1/status").await.body["queue"].clone();
    assert_eq!(queue["leased"], 0, "no delivery waits for the end of a lease: {queue}");
    let waiting = queue["ready"].as_u64().zip(queue["delayed"].as_u64());
    assert_eq!(waiting.map(|(ready, delayed)| ready + delayed), Some(10), "{queue}");

    let quick = json!({"faults": [{"endpoint": "get-run", "times": 0}]});
    github.client.apply(&quick).await.expect("a change");
    cluster.add("worker").await;
    all_done(&cluster, 101..=110).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_joins_shares_the_work_and_takes_no_lease_of_a_slow_one() {
    // Longer than a lease.
    let github = slow_github(17).await;
    let mut cluster = Cluster::on_redis(&github, &["ingress", "worker"]).await;
    deliver(&cluster, 101..=101).await;
    let held = |status: &serde_json::Value| status["queue"]["leased"] == 1;
    cluster.gate(0).ask_until("/api/v1/status", held).await;
    let quick = json!({"faults": [{"endpoint": "get-run", "times": 0}]});
    github.client.apply(&quick).await.expect("a change");

    cluster.add("worker").await;
    deliver(&cluster, 102..=120).await;
    all_done(&cluster, 102..=120).await;
    all_done(&cluster, 101..=101).await;
    let slow = cluster
        .gate(0)
        .ask(&format!("/api/v1/deliveries/{}", guid(101)))
        .await
        .body;
    assert_eq!(
        slow["delivery"]["attempts"], 1,
        "the slow worker keeps its lease: {slow}"
    );
}

async fn all_done(cluster: &Cluster, jobs: std::ops::RangeInclusive<u64>) {
    for job in jobs {
        let path = format!("/api/v1/deliveries/{}", guid(usize::try_from(job).expect("small")));
        let told = cluster
            .gate(0)
            .ask_until(&path, |told| told["delivery"]["state"] == "done")
            .await;
        assert_eq!(told["decision"]["trust"]["verdict"], "ineligible", "{told}");
    }
}

/// Starts jitgate with these settings and waits until a delivery is done.
async fn serves_on(place: Place, number: usize, settings: &[(&str, &str)]) {
    let github = slow_github(0).await;
    let gate = Gate::start_in(place, &github.url, settings, &[]).await;
    let answer = gate.deliver("workflow_job", &guid(number), body("queued", 101)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let path = format!("/api/v1/deliveries/{}", guid(number));
    gate.ask_until(&path, |told| told["delivery"]["state"] == "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_reached_by_socket_and_as_the_user_of_a_url_or_file() {
    let server = Server::start(&[DURABLE, &["--unixsocket", "redis.sock"]].concat());
    let rules = "on >p@ss ~{jitgate:* ~jitgate:* &jitgate:* +@all -@admin -@dangerous +info +config|get";
    let mut command = vec!["ACL", "SETUSER", "gate"];
    command.extend(rules.split(' '));
    server.cli(&command);
    server.cli(&["ACL", "SETUSER", "default", "off"]);

    let socket = server.directory().join("redis.sock");
    let by_socket = format!("redis+unix://gate:p%40ss@{}", socket.display());
    serves_on(Place::new(), 1, &[("store.url", &by_socket)]).await;

    let place = Place::new();
    place.file(
        "redis-url",
        &format!("redis://gate:p%40ss@{}\n", server.address()),
        0o600,
    );
    // `store.url_file` requires that `store.url` is absent.

    place.without_a_store();
    serves_on(place, 2, &[("store.url_file", "redis-url")]).await;
}
