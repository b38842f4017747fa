//! The refusals of the ingress, in the order of the contract: a request that breaks several rules is refused by the
//! first.

use super::outage::Hanging;
use super::wire::{Wire, head};
use crate::support::gate::{Answer, Gate, OLD_SECRET, SECRET, read};
use crate::support::payload::{body, guid, sign};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

fn assert_problem(answer: &Answer, status: u16, code: &str, about: &str) {
    assert_eq!(answer.status, status, "{about}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{about}");
    assert_eq!(answer.body["type"], code, "{about}");
    assert_eq!(answer.body["status"], status, "{about}");
    for key in ["title", "detail"] {
        let text = answer.body[key].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{about}: no {key} in {}", answer.body);
    }
}

/// Nothing of what was refused may have been kept.
async fn assert_nothing_was_kept(gate: &Gate) {
    assert_eq!(gate.ask("/api/v1/deliveries").await.body["deliveries"], json!([]));
}

#[tokio::test]
async fn other_paths_and_methods() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    for path in [
        "/",
        "/webhooks",
        "/webhooks/github/",
        "/webhooks/github/x",
        "/metrics",
        "/api/v1/status",
        "/%00",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = read(gate.request(method, path)).await;
            assert_problem(&answer, 404, "not-found", path);
        }
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = read(gate.request(method.clone(), "/webhooks/github").body("{}")).await;
        assert_problem(&answer, 405, "method-not-allowed", method.as_str());
        assert_eq!(answer.header("allow"), "POST");
    }
    for path in ["/healthz", "/readyz"] {
        let answer = read(gate.request(Method::POST, path)).await;
        assert_problem(&answer, 405, "method-not-allowed", path);
        assert_eq!(answer.header("allow"), "GET, HEAD");
        assert_eq!(read(gate.request(Method::GET, path)).await.status, 200);
    }
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[("server.body_limit_bytes", "5000")]).await;
    // Declared: refused before anything of it is read, whatever else is wrong.
    let mut wire = Wire::to(&gate.public).await;
    wire.send(b"POST /webhooks/github HTTP/1.1\r\nHost: gate\r\nContent-Length: 5001\r\n\r\n")
        .await;
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, &reply.body["type"]), (413, &json!("too-large")));
    assert!(reply.head.contains("connection: close"), "{}", reply.head);
    assert!(wire.reply().await.is_none(), "and closed");
    // A client that sends all of it before it listens gets the answer too.
    for size in [5001, 20_000_000] {
        let answer = gate.deliver("workflow_job", &guid(2), vec![b' '; size]).await;
        assert_problem(&answer, 413, "too-large", &size.to_string());
    }
    let mut fits = body("queued", 1);
    fits.resize(5000, b' ');
    assert_eq!(gate.deliver("workflow_job", &guid(3), fits).await.status, 202);
}

#[tokio::test]
async fn bodies_that_turn_out_too_large() {
    let github = Hanging::start().await;
    let settings = [("server.body_limit_bytes", "5000"), ("server.read_timeout_s", "1")];
    let gate = Gate::start(&github.url, &settings).await;
    // Refused as soon as it is too much, though the sender would go on.
    let mut wire = Wire::to(&gate.public).await;
    wire.send(head(&guid(1), b"", "Transfer-Encoding: chunked").as_bytes())
        .await;
    for _ in 0..5 {
        wire.send(format!("3e9\r\n{}\r\n", "x".repeat(1001)).as_bytes()).await;
    }
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, &reply.body["type"]), (413, &json!("too-large")));
    assert!(wire.reply().await.is_none(), "and closed");
}

#[tokio::test]
async fn missing_headers() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    // Everything behind it in the order is wrong as well.
    let without = |name: &str| {
        let request = gate.request(Method::POST, "/webhooks/github").body("no JSON");
        match name {
            "X-GitHub-Event" => request.header("X-GitHub-Delivery", guid(1)),
            _ => request.header("X-GitHub-Event", "workflow_job"),
        }
    };
    for name in ["X-GitHub-Event", "X-GitHub-Delivery"] {
        let answer = read(without(name)).await;
        assert_problem(&answer, 400, "missing-header", name);
        assert!(
            answer.body["detail"].as_str().expect("text").contains(name),
            "{}",
            answer.body
        );
    }
    let long = "a".repeat(129);
    for bad in ["", " ", "a b", "../x", "<script>", &long] {
        let answer = read(without("X-GitHub-Delivery").header("X-GitHub-Delivery", bad)).await;
        assert_problem(&answer, 400, "missing-header", bad);
    }
    for name in ["X-GitHub-Event", "X-GitHub-Delivery"] {
        let bytes = HeaderValue::from_bytes(b"\xff\xfe").expect("bytes");
        let answer = read(without(name).header(name, bytes)).await;
        assert_problem(&answer, 400, "missing-header", name);
    }
    assert_nothing_was_kept(&gate).await;
}

#[tokio::test]
async fn signatures_that_do_not_fit() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let body = body("queued", 1);
    let good = sign(SECRET, &body);
    let digits = good.trim_start_matches("sha256=");
    let wrong: [(&str, String); 14] = [
        ("another secret", sign("the current webhook secret ", &body)),
        ("no secret", sign("", &body)),
        ("another body", sign(SECRET, b"{}")),
        ("nothing", String::new()),
        ("no digits", "sha256=".to_owned()),
        ("no scheme", digits.to_owned()),
        ("another scheme", format!("sha1={digits}")),
        ("SHA-512", format!("sha512={digits}{digits}")),
        ("scheme in capitals", format!("SHA256={digits}")),
        ("cut short", good[..good.len() - 2].to_owned()),
        ("half a byte", good[..good.len() - 1].to_owned()),
        ("too long", format!("{good}00")),
        ("two of them", format!("{good},{good}")),
        ("no hex", format!("sha256={}", "zz".repeat(32))),
    ];
    let request = |content_type: &str| {
        gate.request(Method::POST, "/webhooks/github")
            .header("Content-Type", content_type)
            .header("X-GitHub-Event", "workflow_job")
            .header("X-GitHub-Delivery", guid(1))
            .body(body.clone())
    };
    // The content type is wrong as well in half of them: that comes later.
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        assert_problem(&read(request(content_type)).await, 401, "signature", "absent");
        for (about, signature) in &wrong {
            let answer = read(request(content_type).header("X-Hub-Signature-256", signature)).await;
            assert_problem(&answer, 401, "signature", about);
        }
        let sha1 = "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6";
        let answer = read(request(content_type).header("X-Hub-Signature", sha1)).await;
        assert_problem(&answer, 401, "signature", "SHA-1 alone");
        let sha256_in_the_wrong_place = read(request(content_type).header("X-Hub-Signature", &good)).await;
        assert_problem(&sha256_in_the_wrong_place, 401, "signature", "the other header");
        let bytes = HeaderValue::from_bytes(b"sha256=\xff").expect("bytes");
        let answer = read(request(content_type).header(HeaderName::from_static("x-hub-signature-256"), bytes)).await;
        assert_problem(&answer, 401, "signature", "bytes");
    }
    assert_nothing_was_kept(&gate).await;
    let capitals = format!("sha256={}", digits.to_uppercase());
    let answer = read(request("application/json").header("X-Hub-Signature-256", capitals)).await;
    assert_eq!(answer.status, 202, "hexadecimal digits have no case");
    let answer = read(request("application/json").header("X-Hub-Signature-256", sign(OLD_SECRET, &body))).await;
    assert_eq!(
        answer.status, 200,
        "the old secret is good until it is removed: {}",
        answer.body
    );
}

#[tokio::test]
async fn other_content_types() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let json = body("queued", 1);
    // What GitHub sends when the hook is set to a form; it is no JSON either, which comes later.
    let form = [b"payload=".as_slice(), json.as_slice()].concat();
    for (content_type, body) in [
        (Some("application/x-www-form-urlencoded"), &form),
        (Some("application/x-www-form-urlencoded"), &json),
        (Some("text/plain"), &json),
        (Some("application/jsonp"), &json),
        (Some("application/"), &json),
        (Some(""), &json),
        (None, &json),
    ] {
        let request = gate
            .request(Method::POST, "/webhooks/github")
            .header("X-GitHub-Event", "workflow_job")
            .header("X-GitHub-Delivery", guid(1))
            .header("X-Hub-Signature-256", sign(SECRET, body))
            .body(body.clone());
        let request = content_type
            .into_iter()
            .fold(request, |request, value| request.header("Content-Type", value));
        assert_problem(
            &read(request).await,
            415,
            "unsupported-media-type",
            content_type.unwrap_or("none"),
        );
    }
    assert_nothing_was_kept(&gate).await;
    for (number, content_type) in ["application/json; charset=utf-8", "Application/JSON"]
        .iter()
        .enumerate()
    {
        let mut request = gate
            .delivery("workflow_job", &guid(number), json.clone())
            .build()
            .expect("a request");
        let value = HeaderValue::from_str(content_type).expect("text");
        request.headers_mut().insert("Content-Type", value);
        let answer = gate.http.execute(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 202, "{content_type}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let whole = body("queued", 1);
    let for_any_event: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{} {}".to_vec(),
        b"{'action': 'queued'}".to_vec(),
        [b"\xef\xbb\xbf".as_slice(), &whole].concat(),
        "[".repeat(100_000).into_bytes(),
        b"{\"action\": \"\xff\xfe\"}".to_vec(),
        [b"{\"other\": \"\xc3\x28\",".as_slice(), &whole[1..]].concat(),
        whole[..whole.len() - 1].to_vec(),
        whole[..whole.len() / 2].to_vec(),
    ];
    for event in ["workflow_job", "push", "ping"] {
        for body in &for_any_event {
            let about = format!("{event}: {}", String::from_utf8_lossy(&body[..body.len().min(40)]));
            let answer = gate.deliver(event, &guid(1), body.clone()).await;
            assert_problem(&answer, 400, "malformed", &about);
        }
    }
    assert_nothing_was_kept(&gate).await;
    // The GUID of what was refused is free.
    assert_eq!(gate.deliver("workflow_job", &guid(1), whole.clone()).await.status, 202);
    // Depth in a field we don't read costs nothing.
    let deep = format!("{{\"deep\": {}{},", "[".repeat(100_000), "]".repeat(100_000));
    let deep = [deep.as_bytes(), &whole[1..]].concat();
    assert_eq!(gate.deliver("workflow_job", &guid(2), deep).await.status, 202);
}
