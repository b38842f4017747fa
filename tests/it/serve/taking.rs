//! The deliveries that the ingress accepts, those that it ignores, and its answers.

use super::outage::Hanging;
use crate::support::gate::{Gate, OLD_SECRET, read};
use crate::support::payload::{body, guid, job, sign};
use serde_json::json;

#[tokio::test]
async fn a_delivery_is_queued_once() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let first = gate.deliver("workflow_job", &guid(1), body("queued", 1)).await;
    assert_eq!(first.status, 202);
    assert_eq!(first.header("content-type"), "application/json");
    assert_eq!(first.body, json!({"delivery": guid(1), "status": "queued"}));
    let again = gate.deliver("workflow_job", &guid(1), body("queued", 1)).await;
    assert_eq!(again.status, 200);
    let duplicate = json!({"delivery": guid(1), "status": "duplicate", "reason": "already-seen"});
    assert_eq!(again.body, duplicate);
    let other_body = gate.deliver("workflow_job", &guid(1), body("completed", 2)).await;
    assert_eq!(other_body.body, duplicate, "the GUID alone counts");
    let same_body = gate.deliver("workflow_job", &guid(2), body("queued", 1)).await;
    assert_eq!(same_body.status, 202, "and the body does not");
    let known = gate.ask("/api/v1/deliveries").await.body;
    assert_eq!(known["deliveries"].as_array().map(Vec::len), Some(2), "{known}");
}

#[tokio::test]
async fn a_foreign_delivery_is_accepted_and_ignored() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let elsewhere = {
        let mut payload = job("queued", 1);
        payload["repository"]["full_name"] = json!("octo-org/other");
        payload.to_string()
    };
    for (number, (event, body, reason)) in [
        ("push", json!({"ref": "refs/heads/main"}).to_string(), "event"),
        ("workflow_run", json!({"action": "requested"}).to_string(), "event"),
        ("an_event_of_the_future", "{}".to_owned(), "event"),
        ("workflow_job", job("paused", 1).to_string(), "action"),
        ("workflow_job", elsewhere, "repository"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = gate.deliver(event, &guid(number), body.clone()).await;
        assert_eq!(answer.status, 200, "{event} {reason}");
        assert_eq!(
            answer.body,
            json!({"delivery": guid(number), "status": "ignored", "reason": reason})
        );
        let again = gate.deliver(event, &guid(number), body).await;
        assert_eq!(again.body["status"], "duplicate", "{event} {reason}");
        let kept = gate.ask(&format!("/api/v1/deliveries/{}", guid(number))).await.body;
        assert_eq!(kept["delivery"]["state"], "ignored", "{kept}");
        assert_eq!(kept["decision"], json!(null));
    }
    let ping = gate
        .deliver("ping", &guid(9), json!({"zen": "Design for failure."}).to_string())
        .await;
    assert_eq!(ping.status, 200);
    assert_eq!(ping.body, json!({"delivery": guid(9), "status": "pong"}));
    let mut shouting = job("queued", 1);
    shouting["repository"]["full_name"] = json!("Octo-Org/CHEM-model");
    let answer = gate.deliver("workflow_job", &guid(10), shouting.to_string()).await;
    assert_eq!(answer.status, 202, "names of repositories have no case");
}

#[tokio::test]
async fn an_old_secret_is_taken_and_counted() {
    let github = Hanging::start().await;
    let mut gate = Gate::start(&github.url, &[]).await;
    let body = body("queued", 1);
    assert_eq!(gate.deliver("workflow_job", &guid(1), body.clone()).await.status, 202);
    let mut old = gate
        .delivery("workflow_job", &guid(2), body.clone())
        .build()
        .expect("a request");
    let signature = sign(OLD_SECRET, &body).parse().expect("text");
    old.headers_mut().insert("X-Hub-Signature-256", signature);
    let answer = gate.http.execute(old).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 202);
    let status = gate.ask("/api/v1/status").await.body;
    assert_eq!(status["webhook_secrets_used"], json!([1, 1]));
    let line = gate.process.err.line_with("which is being replaced").await;
    assert!(line.contains("WARN") && !line.contains(OLD_SECRET), "{line}");
}

#[tokio::test]
async fn a_full_queue_turns_deliveries_away_and_forgets_them() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[("store.bodies_max_bytes", "2000")]).await;
    let mut taken = 0;
    let refused = loop {
        let answer = gate
            .deliver("workflow_job", &guid(taken), body("queued", taken as u64))
            .await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 10, "the bound has no effect");
    };
    assert_eq!(
        (refused.status, refused.body["type"].as_str()),
        (503, Some("queue-full"))
    );
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(
        refused.header("retry-after").parse::<u32>().is_ok(),
        "{:?}",
        refused.headers
    );
    let unknown = gate.ask(&format!("/api/v1/deliveries/{}", guid(taken))).await;
    assert_eq!(unknown.status, 404, "nothing is half-done");
    let ignored = read(gate.delivery("push", &guid(99), "{}")).await;
    assert_eq!(ignored.status, 200, "what leaves no body still fits");
}
