//! The admin API: who may ask, and what it answers.

use super::outage::Hanging;
use super::wire::Wire;
use crate::support::gate::{Answer, Gate, Place, read};
use crate::support::payload::{body, guid};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const PATHS: [&str; 5] = [
    "/api/v1/status",
    "/api/v1/deliveries",
    "/api/v1/deliveries/x",
    "/api/v1/jobs/1",
    "/api/v1/alerts",
];

fn request(gate: &Gate, path: &str) -> RequestBuilder {
    gate.http.get(format!("http://{}{path}", gate.admin))
}

fn assert_refused(answer: &Answer, status: u16, code: &str, about: &str) {
    assert_eq!(
        (answer.status, answer.body["type"].as_str()),
        (status, Some(code)),
        "{about}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json", "{about}");
}

#[tokio::test]
async fn only_the_token_opens_it() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let almost = &gate.token[..gate.token.len() - 1];
    for path in PATHS.iter().chain(&["/api/v1/", "/api/v1/nothing"]) {
        let bare = read(request(&gate, path)).await;
        assert_refused(&bare, 401, "token", path);
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic eDp5",
            &format!("Bearer {almost}"),
            &format!("Basic {}", gate.token),
        ] {
            let answer = read(request(&gate, path).header("Authorization", wrong)).await;
            assert_refused(&answer, 401, "token", wrong);
        }
        let in_the_url = read(request(&gate, &format!("{path}?token={}", gate.token))).await;
        assert_refused(&in_the_url, 401, "token", path);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(read(request(&gate, path)).await.status, 200, "{path} is for everybody");
    }
    for path in ["/webhooks/github", "/nothing"] {
        assert_eq!(gate.ask(path).await.status, 404, "{path}");
    }
    let lower = format!("bearer {}", gate.token);
    assert_eq!(
        read(request(&gate, PATHS[0]).header("Authorization", lower))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn no_web_page_reaches_it() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let (_, port) = gate.admin.split_once(':').expect("an address");
    let with = |name: &'static str, value: String| {
        let request = request(&gate, "/api/v1/status").bearer_auth(&gate.token);
        read(request.header(name, value))
    };
    // A browser sends this after its DNS was rebound to loopback.
    for host in [
        "attacker.example",
        &format!("attacker.example:{port}"),
        "127.0.0.1:1",
        "localhost",
        "",
    ] {
        let answer = with("Host", host.to_owned()).await;
        assert!(matches!(answer.status, 400 | 421), "{host}: {}", answer.status);
    }
    for origin in [
        "https://attacker.example",
        "null",
        "http://localhost:1",
        &format!("http://attacker.example:{port}"),
    ] {
        assert_refused(&with("Origin", origin.to_owned()).await, 403, "origin", origin);
    }
    for (name, value) in [
        ("Host", format!("localhost:{port}")),
        ("Host", format!("127.0.0.1:{port}")),
        ("Origin", format!("http://127.0.0.1:{port}")),
        ("Origin", format!("http://localhost:{port}")),
    ] {
        assert_eq!(with(name, value.clone()).await.status, 200, "{name}: {value}");
    }
    // HTTP/1.0 needs no Host.
    let mut wire = Wire::to(&gate.admin).await;
    let bare = format!(
        "GET /api/v1/status HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n",
        gate.token
    );
    wire.send(bare.as_bytes()).await;
    assert_eq!(wire.reply().await.expect("an answer").status, 421);
}

#[tokio::test]
async fn a_listener_on_every_address_answers_to_the_names_it_is_given() {
    let github = Hanging::start().await;
    let settings = [
        ("server.admin_listen", "0.0.0.0:0"),
        ("server.admin_hosts", "gate.example.com,10.0.0.5:9090"),
    ];
    let gate = Gate::start(&github.url, &settings).await;
    let (_, port) = gate.admin.rsplit_once(':').expect("an address");
    let asked = |host: String| {
        let url = format!("http://127.0.0.1:{port}/api/v1/status");
        read(gate.http.get(url).bearer_auth(&gate.token).header("Host", host))
    };
    for host in [
        "gate.example.com".to_owned(),
        "GATE.example.com:443".to_owned(),
        "10.0.0.5:9090".to_owned(),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("0.0.0.0:{port}"),
    ] {
        assert_eq!(asked(host.clone()).await.status, 200, "{host}");
    }
    for host in [
        "attacker.example",
        "10.0.0.5",
        "10.0.0.5:1",
        "gate.example.com.attacker.example",
        "127.0.0.1:1",
    ] {
        assert_refused(&asked(host.to_owned()).await, 421, "host", host);
    }
}

#[tokio::test]
async fn the_admin_api_answers_its_paths_and_refuses_other_methods() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let status = gate.ask("/api/v1/status").await;
    assert_eq!(status.status, 200);
    for key in ["version", "instance", "time", "queue", "mode"] {
        assert!(!status.body[key].is_null(), "no {key} in {}", status.body);
    }
    assert_eq!(status.body["repositories"], json!(["octo-org/chem-model"]));
    let rollout = &status.body["rollouts"][0];
    assert_eq!(rollout["repository"], "octo-org/chem-model");
    assert_eq!(
        (&rollout["stage"], &rollout["stage_size"], &rollout["progress"]),
        (&json!(0), &json!(1), &json!(0))
    );
    assert_eq!(rollout["held"]["cause"], "routing-off", "routing was never seen on");
    assert_eq!(
        status.body["github"]["simulated"],
        json!(null),
        "a GitHub that hangs has not said so"
    );
    assert_eq!(gate.ask("/api/v1/alerts").await.body, json!({"alerts": []}));
    for path in [
        "/api/v1/jobs/1",
        "/api/v1/jobs/x",
        "/api/v1/jobs/-1",
        "/api/v1/jobs/99999999999999999999999",
    ] {
        assert_refused(&gate.ask(path).await, 404, "not-found", path);
    }
    for path in [
        &format!("/api/v1/deliveries/{}", guid(1)),
        "/api/v1/deliveries/%2e%2e",
        "/api/v1/deliveries/a%0ab",
    ] {
        assert_refused(&gate.ask(path).await, 404, "not-found", path);
    }
    for path in PATHS {
        for method in [Method::POST, Method::DELETE, Method::PUT] {
            let url = format!("http://{}{path}", gate.admin);
            let answer = read(gate.http.request(method, url).bearer_auth(&gate.token)).await;
            assert_refused(&answer, 405, "method-not-allowed", path);
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    gate.deliver("workflow_job", &guid(1), body("queued", 1)).await;
    let one = gate.ask(&format!("/api/v1/deliveries/{}", guid(1))).await.body;
    let listed = gate.ask("/api/v1/deliveries").await.body;
    assert_eq!(listed["deliveries"][0]["id"], guid(1));
    for key in [
        "id",
        "event",
        "action",
        "repository",
        "job",
        "received_at",
        "state",
        "attempts",
    ] {
        assert!(!one["delivery"][key].is_null(), "no {key} in {one}");
    }
    assert_eq!(
        (&one["delivery"]["job"], &one["delivery"]["action"]),
        (&json!(1), &json!("queued"))
    );
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner() {
    let github = Hanging::start().await;
    let mut place = Place::new();
    for round in 0..2 {
        let settings = [("server.admin_listen", "unix:admin.sock")];
        let mut gate = Gate::start_in(place, &github.url, &settings, &[]).await;
        let socket = gate.place.path("admin.sock");
        let mode = fs::metadata(&socket).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (token, status) in [(gate.token.as_str(), "200"), ("wrong", "401")] {
            let mut stream = UnixStream::connect(&socket).await.expect("a connection");
            let head = format!(
                "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("it is sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
        // The first one is killed and leaves its socket behind; the second finds its place taken over, and stops cleanly.
        if round == 1 {
            gate.process.terminate();
            assert_eq!(gate.process.code().await, Some(0));
        }
        place = gate.killed();
    }
}

#[tokio::test]
async fn the_token_is_made_once_and_is_for_its_owner() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let (token, instance) = (
        gate.token.clone(),
        gate.ask("/api/v1/status").await.body["instance"].clone(),
    );
    let file = gate.place.path("jitgate-state/admin-token");
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&gate.place.path("jitgate-state")), 0o700);
    assert!(token.len() >= 32, "{} characters", token.len());

    let gate = Gate::start_in(gate.killed(), &github.url, &[], &[]).await;
    assert_eq!(gate.token, token);
    assert_eq!(gate.ask("/api/v1/status").await.body["instance"], instance);

    let place = gate.killed();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let mut process = place.start(&["serve"], &[]);
    assert_eq!(process.code().await, Some(3));
    let said = process.err.text();
    assert!(
        said.contains("admin-token") && said.contains("chmod 600") && !said.contains(&token),
        "{said}"
    );
}
