//! A Redis that stops and restarts under two processes, as GitHub and operators see it.

use crate::cluster::Cluster;
use crate::gate::{TIMEOUT, often, read};
use crate::github::GitHub;
use crate::payload::{body, guid};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// A person calls this immediate; a part of it is for a busy machine.
const PROMPT_TIMEOUT: Duration = Duration::from_millis(2500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_is_reported_promptly_and_found_again_without_a_restart() {
    let world = json!({
        "runs": [{"id": 20, "event": "push", "head": {"sha": "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"}, "jobs": [{"id": 101}, {"id": 102}]}],
    });
    let github = GitHub::of(&world).await;
    let mut cluster = Cluster::on_redis(&github, &["ingress", "worker"]).await;
    let before = cluster
        .gate(0)
        .deliver("workflow_job", &guid(1), body("queued", 101))
        .await;
    assert_eq!(before.status, 202, "{}", before.body);
    decided(&cluster, 1, 101).await;

    cluster.redis().kill();
    let (ingress, worker) = (cluster.gate(0), cluster.gate(1));
    for number in [2, 3, 2] {
        let asked = Instant::now();
        let refused = ingress
            .deliver("workflow_job", &guid(number), body("queued", 102))
            .await;
        assert!(asked.elapsed() < PROMPT_TIMEOUT, "after {:?}", asked.elapsed());
        assert_eq!(refused.status, 503, "{}", refused.body);
        let wait: u64 = refused.header("Retry-After").parse().expect("seconds");
        assert!(wait > 0);
        assert_eq!(refused.header("Content-Type"), "application/problem+json");
    }
    for gate in [ingress, worker] {
        let asked = Instant::now();
        assert_eq!(gate.ask("/api/v1/status").await.status, 503);
        assert!(asked.elapsed() < PROMPT_TIMEOUT, "after {:?}", asked.elapsed());
    }
    let health = read(ingress.request(Method::GET, "/healthz")).await;
    let ready = read(ingress.request(Method::GET, "/readyz")).await;
    assert_eq!(
        (health.status, ready.status),
        (200, 503),
        "the process is alive and accepts no delivery"
    );

    cluster.redis().start_again();
    let kept = cluster.redis().cli(&["--scan", "--pattern", "*"]);
    for number in [2, 3] {
        assert!(
            !kept.contains(&guid(number)),
            "a part of delivery {number} was kept: {kept}"
        );
    }
    for (number, job) in [(2, 102), (4, 101)] {
        let answer = cluster
            .gate(0)
            .deliver("workflow_job", &guid(number), body("queued", job))
            .await;
        assert_eq!(answer.status, 202, "the first call finds the server: {}", answer.body);
        decided(&cluster, number, job).await;
    }
    let again = cluster
        .gate(0)
        .deliver("workflow_job", &guid(2), body("queued", 102))
        .await;
    assert_eq!((again.status, &again.body["status"]), (200, &json!("duplicate")));
    let deadline = Instant::now() + PROMPT_TIMEOUT;
    let mut often = often();
    while read(cluster.gate(0).request(Method::GET, "/readyz")).await.status != 200 {
        often.tick().await;
        assert!(
            Instant::now() < deadline,
            "the store is back, but /readyz does not report it"
        );
    }
}

/// Waits until the worker has decided on the delivery, which must be prompt.
async fn decided(cluster: &Cluster, number: usize, job: u64) {
    let asked = Instant::now();
    let path = format!("/api/v1/deliveries/{}", guid(number));
    let told = cluster
        .gate(1)
        .ask_until(&path, |told| told["delivery"]["state"] == "done")
        .await;
    assert_eq!(told["decision"]["trust"]["verdict"], "ineligible", "{told}");
    assert_eq!(told["decision"]["job"]["id"], job);
    assert!(asked.elapsed() < TIMEOUT / 3, "after {:?}", asked.elapsed());
}
