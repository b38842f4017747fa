//! Alerts that several workers raise and dispatch concurrently, over one server.

use super::*;
use crate::support::redis::{DURABLE, Server};
use crate::support::sink::RecordingSink;
use futures::future::join_all;
use jitgate::adapters::clock::SystemClock;
use jitgate::app::Alerts;
use jitgate::app::alerts::AlertFilter;
use jitgate::domain::alert::{Alert, AlertKey, AlertKind, Pace};
use jitgate::ports::Clock;
use std::sync::Arc;

const PACE: Pace = Pace {
    quiet: chrono::TimeDelta::hours(1),
    refresh: None,
};

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_share_a_server_lose_no_alert_and_dispatch_each_once() {
    let server = Server::start(DURABLE);
    let url = format!("redis://{}", server.address());
    let sink = RecordingSink::new(PACE);
    let workers: Vec<Arc<Alerts>> = (0..4)
        .map(|_| {
            let store = Arc::new(RedisStore::new(settings(&url, 16)).expect("a good URL"));
            let clock = Arc::new(SystemClock);
            Arc::new(Alerts::new(store, clock, Arc::new(()), LONG, vec![sink.clone()]))
        })
        .collect();
    let alert = |author: u64, job: u64| {
        let key = AlertKey::new(AlertKind::StolenRunner, None).caused_by(&format!("author-{author}"));
        Alert::new(&key, Some(JobId(job)), "it happened", SystemClock.now())
    };
    // Four workers, ten authors, each of three jobs told by two workers.
    let raised = (0..60).map(|n| {
        let (worker, author, job) = (workers[n % 4].clone(), n as u64 % 10, n as u64 % 30);
        let alert = alert(author, job);
        tokio::spawn(async move { worker.raise(alert).await })
    });
    for raised in join_all(raised).await {
        raised.expect("it ends").expect("the store answers");
    }
    let telling = workers.iter().cloned();
    let telling = telling.map(|worker| tokio::spawn(async move { worker.run_until_idle().await }));
    for told in join_all(telling).await {
        told.expect("it ends").expect("the store answers");
    }
    let mut received: Vec<_> = sink
        .received()
        .into_iter()
        .map(|alert| (alert.key, alert.count))
        .collect();
    received.sort_unstable();
    let expected: Vec<(String, u64)> = (0..10).map(|n| (format!("-/stolen-runner/author-{n}"), 3)).collect();
    assert_eq!(received, expected);
    let listed = workers[0]
        .list(&AlertFilter::default(), 100)
        .await
        .expect("the store answers");
    assert!(listed.iter().all(|alert| alert.count == 3), "{listed:#?}");
}
