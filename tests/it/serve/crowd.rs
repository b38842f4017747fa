//! Those who open connections and those who send bodies without end: they take nothing from runners and deliveries.

use super::outage::Hanging;
use super::story::Story;
use super::wire::{Wire, head};
use crate::support::gate::{Gate, Place, often, read};
use crate::support::payload::{body, guid};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// The limit of open files in these tests. jitgate uses at most half of it for the public listener.
const DESCRIPTORS: usize = 256;

/// The lines of `/proc/PID/limits` about open files.
fn limits(pid: u32) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let mut words = line
        .expect("a limit of open files")
        .split_whitespace()
        .skip(3)
        .map(str::to_owned);
    (words.next().expect("a soft limit"), words.next().expect("a hard limit"))
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count()
}

#[tokio::test]
async fn a_low_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let github = Hanging::start().await;
    let place = Place::new();
    let settings = [("github.api_url", github.url.as_str())];
    let process = place.start_after("ulimit -S -n 100", &["serve"], &settings);
    let gate = Gate::of(process, place).await;
    let (soft, hard) = limits(gate.process.id());
    assert_eq!(soft, hard);
    assert_ne!(soft, "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_take_no_descriptors_from_runners() {
    let world = json!({
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "permissions": {"alice": "write"},
        "pulls": [{"number": 7, "author": "alice"}],
        "runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101, "name": "web"}]}],
    });
    let first = format!("ulimit -n {DESCRIPTORS}");
    let mut story = Story::started_after(&first, world, &[("server.read_timeout_s", "4")]).await;
    let pid = story.gate.process.id();
    let before = descriptors(pid);
    let mut idle = Vec::new();
    for _ in 0..40 {
        for _ in 0..5 {
            idle.push(Wire::to(&story.gate.public).await);
        }
        idle.push(Wire::to(&story.gate.admin).await);
    }
    // All that the gate will ever take of them at once, half and a sixteenth.
    let mut often = often();
    let mut most = 0;
    for _ in 0..50 {
        often.tick().await;
        most = most.max(descriptors(pid));
    }
    let taken = most - before;
    assert!(
        (DESCRIPTORS / 4..=DESCRIPTORS * 9 / 16).contains(&taken),
        "{taken} descriptors are taken"
    );
    // The idle ones are dropped after a while, and what waits gets its turn.
    story.deliver("queued", 101).await;
    let tally = story.tally().await;
    assert_eq!((tally.minted, tally.ran), (1, 1), "{tally:?}");
}

#[tokio::test]
async fn an_idle_admin_connection_is_dropped() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[("server.read_timeout_s", "1")]).await;
    for begin in [
        "",
        "GET /healthz HTTP/1.1\r\nX-Slow: ",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /",
    ] {
        let mut wire = Wire::to(&gate.admin).await;
        assert!(wire.send(begin.as_bytes()).await);
        while wire.reply().await.is_some() {}
    }
}

/// Senders who fill the room for large bodies to its last KiB, and then send a byte now and then, for as long as they are
/// let.
async fn trickle_large_bodies(gate: &Gate) -> Vec<tokio::task::JoinHandle<()>> {
    const ROOM: usize = 256 << 20;
    const FREE: usize = 64 << 10;
    const LARGE: usize = 24 << 20;
    /// The last KiB of each is taken by its first byte, so that what trickles in needs no more room.
    const LEFT: usize = 1023;
    let framing = format!("Content-Length: {}", 25 << 20);
    let (many, rest) = (ROOM / (LARGE - FREE), ROOM % (LARGE - FREE));
    let sizes = std::iter::repeat_n(LARGE, many).chain([rest + FREE]);
    let sent = sizes.enumerate().map(|(number, size)| {
        let head = head(&guid(1000 + number), b"", &framing);
        async move {
            let mut wire = Wire::to(&gate.public).await;
            assert!(wire.send(head.as_bytes()).await);
            assert!(wire.send(&vec![b' '; size - LEFT]).await);
            wire
        }
    });
    let wires = join_all(sent).await;
    let trickle = |mut wire: Wire| async move {
        wire.trickle(b" ").await;
    };
    wires.into_iter().map(|wire| tokio::spawn(trickle(wire))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_large_bodies_cost_no_honest_delivery() {
    let github = Hanging::start().await;
    let gate = &Gate::start(&github.url, &[("server.read_timeout_s", "60")]).await;
    let stalled = trickle_large_bodies(gate).await;
    // The first is free; the others need room that is taken.
    for (number, size) in [(1, 20 << 10), (2, 100 << 10), (3, 1 << 20), (4, 20 << 20)] {
        let mut body = body("queued", number as u64);
        body.resize(size, b' ');
        let answer = gate.deliver("workflow_job", &guid(number), body).await;
        assert_eq!(answer.status, 202, "{size} bytes: {}", answer.body);
    }
    for sender in stalled {
        sender.abort();
    }
}

#[tokio::test]
async fn a_body_may_not_pause_for_long() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[("server.read_timeout_s", "60")]).await;
    let mut wire = Wire::to(&gate.public).await;
    assert!(
        wire.send(head(&guid(1), b"", "Content-Length: 100000").as_bytes())
            .await
    );
    assert!(wire.send(&[b' '; 70_000]).await);
    let began = tokio::time::Instant::now();
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, &reply.body["type"]), (408, &json!("too-slow")));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let admin = |path: &str| format!("http://{}{path}", gate.admin);
    let public = |path: &str| format!("http://{}{path}", gate.public);
    let urls = [
        public("/healthz"),
        public("/readyz"),
        public("/nothing"),
        admin("/healthz"),
        admin("/readyz"),
        admin("/metrics"),
        admin("/api/v1/status"),
        admin("/api/v1/deliveries"),
        admin("/api/v1/jobs/1"),
        admin("/api/v1/nothing"),
    ];
    for url in urls {
        let ask = |method: Method| gate.http.request(method, &url).bearer_auth(&gate.token).send();
        let got = ask(Method::GET).await.expect("an answer");
        let asked = ask(Method::HEAD).await.expect("an answer");
        assert_eq!(asked.status(), got.status(), "{url}");
        assert_eq!(
            asked.headers().get("content-type"),
            got.headers().get("content-type"),
            "{url}"
        );
        assert_eq!(asked.bytes().await.expect("a body").len(), 0, "{url}");
    }
    // One connection stays usable, so no body was sent behind the head.
    let mut wire = Wire::to(&gate.public).await;
    assert!(wire.send(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await);
    assert!(wire.head().await.starts_with("http/1.1 200 "));
    assert!(wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await);
    assert_eq!(wire.reply().await.expect("an answer").status, 200);
    // HEAD answers like GET for a missing path, without a body.
    let answer = read(gate.request(Method::HEAD, "/webhooks/github")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
}
