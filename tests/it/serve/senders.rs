//! Senders of every kind: slow, eager, polite, large, compressed, many.

use super::outage::Hanging;
use super::wire::{Wire, delivery, head};
use crate::support::gate::{Gate, SECRET, read};
use crate::support::payload::{body, guid, sign};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Cut off at one second, by a clock that ticks twice a second, with room for a busy machine.
const CUT_OFF: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(4);

#[tokio::test]
async fn slow_senders_are_disconnected_and_delay_no_delivery() {
    let github = Hanging::start().await;
    let gate = &Gate::start(&github.url, &[("server.read_timeout_s", "1")]).await;
    let body_of_10 = head(&guid(1), b"0123456789", "Content-Length: 1000");
    let chunked = head(&guid(2), b"", "Transfer-Encoding: chunked") + "ffff\r\n";
    let opening = "POST /webhooks/github HTTP/1.1\r\nX-Slow: ";
    let after_a_first_request = format!("GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n{opening}");
    let slow = |begin: String, answers_before: usize| async move {
        let mut wire = Wire::to(&gate.public).await;
        assert!(wire.send(begin.as_bytes()).await);
        for _ in 0..answers_before {
            assert_eq!(wire.reply().await.expect("an answer").status, 200);
        }
        let (took, reply) = wire.trickle(b"x").await;
        (begin, took, reply)
    };
    let senders = [
        (String::new(), 0),
        (opening.to_owned(), 0),
        (body_of_10, 0),
        (chunked, 0),
        (after_a_first_request, 1),
    ];
    let senders = join_all(
        senders
            .into_iter()
            .cycle()
            .take(50)
            .map(|(begin, before)| slow(begin, before)),
    );
    let quick = async {
        for number in 10..20 {
            let begun = Instant::now();
            let answer = gate.deliver("workflow_job", &guid(number), body("queued", 1)).await;
            assert_eq!(answer.status, 202);
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
    };
    let (senders, ()) = futures::join!(senders, quick);
    for (begin, took, reply) in senders {
        assert!(CUT_OFF.contains(&took), "{begin:?} was cut off after {took:?}");
        let status = reply.map(|reply| reply.status);
        assert!(matches!(status, Some(408) | None), "{begin:?} got {status:?}");
        assert!(status.is_some() || begin.starts_with("GET"), "{begin:?} got no answer");
    }
}

#[tokio::test]
async fn a_body_that_stops_is_disconnected_and_reported() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[("server.read_timeout_s", "1")]).await;
    let body = body("queued", 1);
    let mut wire = Wire::to(&gate.public).await;
    let whole = delivery(&guid(1), &body);
    assert!(wire.send(&whole[..whole.len() - 1]).await);
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, &reply.body["type"]), (408, &json!("too-slow")));
    assert!(wire.reply().await.is_none(), "the connection is closed");
    assert_eq!(
        gate.deliver("workflow_job", &guid(1), body).await.status,
        202,
        "its GUID is free"
    );
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let body = body("queued", 1);
    let mut wire = Wire::to(&gate.public).await;
    for number in 0..3 {
        assert!(wire.send(&delivery(&guid(number), &body)).await);
        assert_eq!(wire.reply().await.expect("an answer").status, 202);
    }
    let pipelined: Vec<u8> = (2..6).flat_map(|number| delivery(&guid(number), &body)).collect();
    assert!(wire.send(&pipelined).await);
    let mut answers = Vec::new();
    for _ in 2..6 {
        let reply = wire.reply().await.expect("an answer");
        answers.push((reply.status, reply.body["delivery"].clone()));
    }
    let expected: Vec<_> = (2..6)
        .map(|n| (if n == 2 { 200 } else { 202 }, json!(guid(n))))
        .collect();
    assert_eq!(answers, expected, "in order, each to its own");
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_gets_it() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let body = body("queued", 1);
    let mut wire = Wire::to(&gate.public).await;
    let framing = format!("Expect: 100-continue\r\nContent-Length: {}", body.len());
    assert!(wire.send(head(&guid(1), &body, &framing).as_bytes()).await);
    assert_eq!(wire.reply().await.expect("an answer").status, 100);
    assert!(wire.send(&body).await);
    assert_eq!(wire.reply().await.expect("an answer").status, 202);
}

#[tokio::test]
async fn the_largest_body_github_sends_is_taken() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let mut largest = body("queued", 1);
    largest.resize(25 << 20, b' ');
    assert_eq!(
        gate.deliver("workflow_job", &guid(1), largest.clone()).await.status,
        202
    );
    largest.push(b' ');
    let url = format!("http://{}/webhooks/github", gate.public);
    // Not on a connection that was idle while this test was busy.
    let answer = read(reqwest::Client::new().post(url).body(largest)).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn compressed_bodies_are_not_inflated() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    // An empty object, compressed.
    let gzip = hex::decode("1f8b08000000000000ffabae050043bfa6a302000000").expect("hex");
    let encoded = |signed: &[u8]| {
        gate.request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip")
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", guid(1))
            .header("X-Hub-Signature-256", sign(SECRET, signed))
            .body(gzip.clone())
    };
    let signed_inside = read(encoded(b"{}")).await;
    assert_eq!(
        signed_inside.status, 401,
        "the signature is over the bytes that were sent"
    );
    let signed_outside = read(encoded(&gzip)).await;
    assert_eq!(
        (signed_outside.status, &signed_outside.body["type"]),
        (400, &json!("malformed"))
    );
}

#[tokio::test]
async fn two_hundred_at_once_are_all_taken() {
    let github = Hanging::start().await;
    let gate = &Gate::start(&github.url, &[]).await;
    let one = |number: usize| async move {
        let answer = gate
            .deliver("workflow_job", &guid(number), body("queued", number as u64))
            .await;
        answer.status
    };
    let statuses = join_all((0..200).map(one)).await;
    assert!(statuses.iter().all(|status| *status == 202), "{statuses:?}");
    let status = gate.ask("/api/v1/status").await.body;
    let queue = &status["queue"];
    let count = |key: &str| queue[key].as_u64().unwrap_or_default();
    assert_eq!(count("ready") + count("delayed") + count("leased"), 200, "{queue}");
}

#[tokio::test]
async fn a_request_that_is_not_http_is_answered_and_closed() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X-More: y\r\n".repeat(500));
    let long = format!("GET /healthz HTTP/1.1\r\nX-Long: {}\r\n\r\n", "y".repeat(200_000));
    for nonsense in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\n\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &many,
        &long,
    ] {
        let mut wire = Wire::to(&gate.public).await;
        wire.send(nonsense.as_bytes()).await;
        let status = wire.reply().await.map(|reply| reply.status);
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{nonsense:.20?}: {status:?}"
        );
    }
    let two_lengths = "Content-Length: 2\r\nContent-Length: 3";
    let both = "Content-Length: 2\r\nTransfer-Encoding: chunked";
    for framing in [two_lengths, both] {
        let mut wire = Wire::to(&gate.public).await;
        wire.send(head(&guid(1), b"{}", framing).as_bytes()).await;
        wire.send(b"{}").await;
        let status = wire.reply().await.map(|reply| reply.status);
        assert_eq!(status, Some(400), "{framing:?}");
    }
    assert_eq!(read(gate.request(Method::GET, "/healthz")).await.status, 200);
}
