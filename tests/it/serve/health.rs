//! Health checks: frequent requests cost nothing, and every kind of request is answered.

use super::outage::Hanging;
use crate::support::gate::{Gate, often, read};
use crate::support::receiver::Receiver;
use futures::future::join_all;
use reqwest::Method;
use std::time::Duration;
use tokio::time::Instant;

/// More than the answers from memory take on a busy machine, and less than one call to a GitHub that hangs.
const AT_ONCE: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn readiness_requests_of_strangers_make_no_calls_to_github() {
    let github = Receiver::start().await;
    let gate = &Gate::start(&github.url, &[]).await;
    let before = github.all().len();
    for _ in 0..10 {
        let asked = (0..50).map(|_| read(gate.request(Method::GET, "/readyz")));
        for answer in join_all(asked).await {
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["github"], "ok");
        }
    }
    let calls: Vec<String> = github.all().into_iter().skip(before).map(|call| call.path).collect();
    assert!(calls.len() <= 3, "500 requests made {} calls: {calls:?}", calls.len());
}

#[tokio::test]
async fn a_github_that_hangs_holds_up_no_readiness_request() {
    let github = Hanging::start().await;
    let gate = &Gate::start(&github.url, &[]).await;
    // The first answer is waited for.
    let first = read(gate.request(Method::GET, "/readyz")).await;
    assert_eq!(first.body["github"], "unavailable");
    let asked = Instant::now();
    for answer in join_all((0..100).map(|_| read(gate.request(Method::GET, "/readyz")))).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn readiness_follows_a_github_that_comes_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let gate = Gate::start(&format!("http://{address}"), &[]).await;
    assert_eq!(
        read(gate.request(Method::GET, "/readyz")).await.body["github"],
        "unavailable"
    );
    let _github = Receiver::start_at(address).await;
    let deadline = Instant::now() + crate::support::gate::PATIENCE;
    let mut often = often();
    while read(gate.request(Method::GET, "/readyz")).await.body["github"] != "ok" {
        often.tick().await;
        assert!(
            Instant::now() < deadline,
            "readiness still says that GitHub is unavailable"
        );
    }
}
