//! At trace level, with everything going wrong that can: no secret is written, and whatever outsiders call things stays on
//! its line.

use super::story::Story;
use crate::support::gate::{OLD_SECRET, Place, SECRET, read};
use crate::support::payload::{guid, sign};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;

/// Ends the line, colours the screen, rings, reorders, closes tags, starts scripts and commands.
const HOSTILE: &str =
    "x\r\n{\"level\":\"INFO\"}\u{1b}[2J\u{7}\u{85}\u{2028}\u{202e}\u{9b}31m</pre><script>alert(1)</script>$(id)`id`";

/// An RSA key in a place of its own.
fn key(place: &Place) -> String {
    let path = place.path("app.pem");
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
        ])
        .arg(&path)
        .status()
        .expect("openssl; run ./tests/run, which installs it");
    assert!(made.success());
    let text = fs::read_to_string(path).expect("a key");
    place.file("app.pem", &text, 0o600);
    text
}

fn fault(endpoint: &str, how: Value) -> Value {
    let mut fault = how;
    fault["endpoint"] = json!(endpoint);
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_and_nothing_hostile_does_harm() {
    let place = Place::new();
    let pem = key(&place);
    let configuration = fs::read_to_string(place.path("jitgate.toml")).expect("it is there");
    let as_app = "app_id = 4711\nprivate_key_file = 'app.pem'";
    place.file(
        "jitgate.toml",
        &configuration.replace("token_file = \"github-token\"", as_app),
        0o600,
    );
    // Each job has a run, a pull request and an author of its own, so that no answer about one serves for another.
    let numbers = 1..=20;
    let pulls = numbers
        .clone()
        .map(|n| json!({"number": n, "author": format!("member-{n}"), "files": [HOSTILE]}));
    let theirs = json!({"number": 30, "author": "mallory", "association": "NONE", "files": [HOSTILE],
        "head": {"repository": "mallory/chem-model", "branch": HOSTILE}});
    let runs = numbers
        .clone()
        .map(|n| json!({"id": n, "pull": n, "name": HOSTILE, "jobs": [{"id": 100 + n, "name": HOSTILE}]}));
    let run = json!({"id": 30, "pull": 30, "name": HOSTILE, "jobs": [
        {"id": 201, "name": HOSTILE, "labels": ["x64", HOSTILE]}, {"id": 202, "name": HOSTILE}]});
    let permissions: Map<String, Value> = numbers.map(|n| (format!("member-{n}"), json!("write"))).collect();
    let world = json!({
        "permissions": permissions,
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "pulls": pulls.chain([theirs]).collect::<Vec<_>>(),
        "runs": runs.chain([run]).collect::<Vec<_>>(),
    });
    let settings = [
        ("rollout.mode", "enforce"),
        ("routing.quarantine_s", "0"),
        ("github.timeout_s", "1"),
        ("github.connect_timeout_s", "1"),
    ];
    let mut story = Story::told_in(place, world, &settings, &["--log", "trace"]).await;

    // GitHub fails in every way there is, at every step; the limit comes last, since nothing is asked after it for a while.
    let refused = |endpoint| fault(endpoint, json!({"status": 401}));
    let trouble = [
        vec![refused("get-variable"), fault("token", json!({"malformed": true}))],
        vec![refused("get-run"), fault("token", json!({"status": 500}))],
        vec![fault("get-run", json!({"status": 500}))],
        vec![fault("list-pulls", json!({"malformed": true}))],
        vec![fault("permission", json!({"drop": "before"}))],
        vec![fault("get-job", json!({"delay_s": 2}))],
        vec![fault("jit", json!({"drop": "after"}))],
        vec![fault("jit", json!({"malformed": true}))],
        vec![fault("jit", json!({"status": 422}))],
        vec![],
        vec![fault(
            "get-job",
            json!({"status": 403, "headers": {"retry-after": "1"}}),
        )],
    ];
    for (job, faults) in (101..).zip(trouble) {
        story.github.apply(&json!({"faults": faults})).await.expect("faults");
        story.deliver("queued", job).await;
    }
    assert!(story.tally().await.ran > 0, "{}", story.gate.process.err.text());
    // Outsiders at work, with names of their own choosing.
    let names =
        json!({"sender": {"login": HOSTILE}, "workflow_job": {"head_branch": HOSTILE, "runner_group_name": HOSTILE}});
    story.deliver_with("queued", 201, &names).await;
    story.deliver_with("queued", 202, &names).await;
    let gate = &story.gate;
    let post = |event: &str, signature: String, body: &'static str| {
        let request = gate
            .request(Method::POST, "/webhooks/github")
            .header("X-GitHub-Event", event);
        let request = request
            .header("X-GitHub-Delivery", guid(900))
            .header("X-Hub-Signature-256", signature);
        read(request.header("Content-Type", "application/json").body(body))
    };
    assert_eq!(post("workflow_job", sign("guessed", b"{}"), "{}").await.status, 401);
    assert_eq!(post("workflow_job", sign(SECRET, b"{"), "{").await.status, 400);
    assert_eq!(post("workflow_job", sign(OLD_SECRET, b"["), "[").await.status, 400);
    assert_eq!(post("ping", sign(OLD_SECRET, b"{}"), "{}").await.status, 200);
    let wrong_token = gate
        .http
        .get(format!("http://{}/api/v1/status", gate.admin))
        .bearer_auth("guessed");
    assert_eq!(read(wrong_token).await.status, 401);

    let token = gate.token.clone();
    story.gate.process.terminate();
    assert_eq!(story.gate.process.code().await, Some(0));
    let written = story.gate.process.err.text() + &story.gate.process.out.text();
    let happened = "200 201 401 403 422 500"
        .split(' ')
        .map(|status| format!("\"status\":{status}"));
    for part in happened.chain(["generate_jit", "an invalid body", "made runner"].map(str::to_owned)) {
        assert!(written.contains(&part), "{part} did not happen: {written}");
    }
    assert!(written.contains("\"DEBUG\""), "the log says too little: {written}");
    let body_of_the_key = pem.lines().filter(|line| !line.starts_with("-----"));
    // Tokens of installations and of the App; what a JIT configuration begins with is what a JWT begins with.
    let secrets = [SECRET, OLD_SECRET, &token, "ghs_", "eyJ", "PRIVATE KEY", "sha256="];
    for secret in secrets.into_iter().chain(body_of_the_key) {
        let line = written.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was written");
    }
    for line in written.lines() {
        let event: Result<Value, _> = serde_json::from_str(line);
        let is_ours = event
            .as_ref()
            .is_ok_and(|event| event["timestamp"].is_string() && event["level"].is_string());
        assert!(is_ours, "no event of ours: {line:?}");
        assert!(
            !line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}')),
            "{line:?}"
        );
    }
}
