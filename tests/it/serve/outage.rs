//! GitHub out of reach: deliveries are taken all the same, at once, and the gate stops when told to.

use crate::support::gate::{Gate, TIMEOUT};
use crate::support::payload::{body, guid};
use futures::future::join_all;
use reqwest::Method;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A GitHub that takes connections and never says a word.
pub(crate) struct Hanging {
    pub(crate) url: String,
    accepting: JoinHandle<()>,
}

impl Hanging {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let accepting = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                held.push(connection);
            }
        });
        Self { url, accepting }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A port without a listener.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

async fn deliveries_are_taken_at_once(gate: &Gate) {
    let one = |number: usize| async move {
        let begun = Instant::now();
        let answer = gate
            .deliver("workflow_job", &guid(number), body("queued", number as u64))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        begun.elapsed()
    };
    let slowest = join_all((0..50).map(one)).await.into_iter().max().unwrap_or_default();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test]
async fn a_github_that_never_answers_delays_neither_deliveries_nor_shutdown() {
    let github = Hanging::start().await;
    let mut gate = Gate::start(&github.url, &[]).await;
    deliveries_are_taken_at_once(&gate).await;
    gate.ask_until("/api/v1/status", |status| status["queue"]["leased"].as_u64() > Some(0))
        .await;
    let ready = crate::support::gate::read(gate.request(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 200, "deliveries are taken without GitHub");
    assert_eq!(
        (&ready.body["status"], &ready.body["github"]),
        (&"ok".into(), &"unavailable".into())
    );

    let asked = Instant::now();
    gate.process.terminate();
    assert_eq!(gate.process.code().await, Some(0), "{}", gate.process.err.text());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_github_that_is_down_delays_no_delivery() {
    let gate = Gate::start(&closed_port().await, &[]).await;
    deliveries_are_taken_at_once(&gate).await;
    let held = gate
        .ask_until("/api/v1/jobs/7", |job| job["admission"]["verdict"].is_string())
        .await;
    assert_eq!(held["trust"]["verdict"], "unknown");
    assert_eq!(held["trust"]["reasons"][0], "github-unavailable");
    assert_eq!(held["admission"]["verdict"], "hold");
    let listed = gate.ask("/api/v1/status").await.body;
    assert_eq!(listed["queue"]["dead"], 0, "nothing is given up on: {listed}");
}

#[tokio::test]
async fn an_idle_worker_stops_at_once() {
    let github = Hanging::start().await;
    let mut gate = Gate::start(&github.url, &[]).await;
    // A connection that is kept open, and one that never says anything.
    assert_eq!(gate.deliver("ping", &guid(1), "{}").await.status, 200);
    let _silent = super::wire::Wire::to(&gate.public).await;
    let asked = Instant::now();
    gate.process.terminate();
    assert_eq!(gate.process.code().await, Some(0));
    assert!(asked.elapsed() < TIMEOUT / 3, "{:?}", asked.elapsed());
}
