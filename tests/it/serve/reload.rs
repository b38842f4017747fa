//! SIGHUP: never the end of a gate, and the way to a new secret without one.

use super::outage::Hanging;
use crate::support::gate::{CONFIGURATION, Gate, OLD_SECRET, SECRET, read};
use crate::support::payload::{body, guid, sign};
use reqwest::Method;

const NEW_SECRET: &str = "the webhook secret of tomorrow";

async fn signed(gate: &Gate, number: usize, secret: &str) -> u16 {
    let body = body("queued", number as u64);
    let request = gate
        .request(Method::POST, "/webhooks/github")
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "workflow_job")
        .header("X-GitHub-Delivery", guid(number))
        .header("X-Hub-Signature-256", sign(secret, &body))
        .body(body);
    read(request).await.status
}

#[tokio::test]
async fn a_hangup_takes_over_new_secrets_and_the_log_level_without_an_end() {
    let github = Hanging::start().await;
    let mut gate = Gate::start(&github.url, &[]).await;
    assert_eq!(signed(&gate, 1, NEW_SECRET).await, 401);
    assert_eq!(signed(&gate, 2, OLD_SECRET).await, 202);
    let (id, connection) = (gate.process.id(), gate.http.clone());

    let rotated = CONFIGURATION
        .replace(OLD_SECRET, NEW_SECRET)
        .replace("[github]", "[telemetry]\nlog = \"jitgate=debug\"\n[github]")
        .replace("host = \"synthetic\"", "host = \"synthetic\"\nmax = 7");
    gate.place.file("jitgate.toml", &rotated, 0o600);
    gate.process.signal("HUP");
    gate.process.err.line_with("reloaded the webhook secrets").await;
    let told = gate.process.err.line_with("restart jitgate to use it").await;
    assert!(told.contains("runners.max"), "{told}");
    assert_eq!(signed(&gate, 3, NEW_SECRET).await, 202);
    assert_eq!(signed(&gate, 4, SECRET).await, 202);
    assert_eq!(signed(&gate, 5, OLD_SECRET).await, 401, "it was removed");
    assert_eq!(
        read(connection.get(format!("http://{}/healthz", gate.public)))
            .await
            .status,
        200
    );
    gate.process.err.line_with("\"level\":\"DEBUG\"").await;
    let used = gate.ask("/api/v1/status").await.body["webhook_secrets_used"].clone();
    assert_eq!(used, serde_json::json!([1, 1]), "each is counted");

    // One that is wrong changes nothing, and is told.
    for wrong in [
        "[webhook",
        "[webhook]\nsecrets = []\n",
        "[server]\nlisten = 'nowhere'\n",
    ] {
        gate.place.file("jitgate.toml", wrong, 0o600);
        let before = gate.process.err.text().matches("configuration not reloaded").count();
        gate.process.signal("HUP");
        gate.process
            .err
            .until(|text| text.matches("configuration not reloaded").count() > before)
            .await;
    }
    assert_eq!(signed(&gate, 6, NEW_SECRET).await, 202);
    assert_eq!(gate.process.id(), id);
    gate.process.terminate();
    assert_eq!(gate.process.code().await, Some(0));
}

#[tokio::test]
async fn a_secret_that_needs_a_restart_is_reported_and_not_shown() {
    let github = Hanging::start().await;
    let mut gate = Gate::start(&github.url, &[]).await;
    gate.place.file("github-token", "ghp_hunter2", 0o600);
    gate.process.signal("HUP");
    let told = gate.process.err.line_with("restart jitgate to use it").await;
    assert!(told.contains("github.token_file"), "{told}");
    assert!(!gate.process.err.text().contains("hunter2"));
}
