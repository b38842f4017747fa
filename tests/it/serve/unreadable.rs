//! Signed deliveries whose job cannot be read. GitHub would send them again as they are, so they are taken: what may be
//! ours is kept until a version comes that reads it.

use super::outage::Hanging;
use crate::support::gate::Gate;
use crate::support::payload::{guid, job};
use serde_json::{Value, json};

/// A payload of a repository with some parts replaced; null takes a part out.
fn with(repository: &str, changes: &[(&str, Value)]) -> Vec<u8> {
    let mut payload = job("queued", 1);
    payload["repository"]["full_name"] = json!(repository);
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = payload
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an object");
        parent.insert(key.to_owned(), value.clone());
    }
    payload.to_string().into_bytes()
}

fn without(pointer: &str) -> Vec<u8> {
    let mut payload = job("queued", 1);
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = payload
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object");
    parent.remove(key);
    payload.to_string().into_bytes()
}

const OURS: &str = "octo-org/chem-model";

#[tokio::test]
async fn a_delivery_of_ours_that_cannot_be_read_is_not_refused_and_not_lost() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let mut bodies = vec![
        // A structure read by position would be fooled by this one.
        json!(["queued", [1, OURS], [1, 2]]).to_string().into_bytes(),
        b"{}".to_vec(),
        b"null".to_vec(),
        without("/action"),
        without("/repository"),
        without("/repository/full_name"),
        without("/workflow_job"),
        without("/workflow_job/id"),
        without("/workflow_job/run_id"),
        with(OURS, &[("/workflow_job", Value::Null)]),
        with(OURS, &[("/action", json!(7))]),
        with(OURS, &[("/workflow_job/labels", json!("self-hosted"))]),
        with(OURS, &[("/workflow_job/labels", json!([1]))]),
        with(OURS, &[("/workflow_job/steps", json!({}))]),
        with(OURS, &[("/workflow_job/run_attempt", json!("1"))]),
    ];
    for id in [json!(null), json!(-1), json!(1.5), json!("1"), json!(1e300)] {
        bodies.push(with(OURS, &[("/workflow_job/id", id)]));
    }
    let count = bodies.len();
    for (number, body) in bodies.into_iter().enumerate() {
        let about = String::from_utf8_lossy(&body).into_owned();
        let answer = gate.deliver("workflow_job", &guid(number), body.clone()).await;
        assert_eq!(
            (answer.status, &answer.body["reason"]),
            (202, &json!("unreadable")),
            "{about}"
        );
        let kept = gate.ask(&format!("/api/v1/deliveries/{}", guid(number))).await.body;
        assert_eq!(kept["delivery"]["state"], "dead", "at once: {kept}");
        let again = gate.deliver("workflow_job", &guid(number), body).await;
        assert_eq!(
            (again.status, &again.body["status"]),
            (200, &json!("duplicate")),
            "{about}"
        );
    }
    assert!(gate.alerts().await.iter().any(|kind| kind == "unreadable-delivery"));
    let status = gate.ask("/api/v1/status").await.body;
    assert_eq!(status["queue"]["dead"], count, "{status}");

    // A later version reads it when it comes again.
    let answer = gate.deliver("workflow_job", &guid(0), with(OURS, &[])).await;
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("queued")));
    let path = format!("/api/v1/deliveries/{}", guid(0));
    gate.ask_until(&path, |shown| shown["delivery"]["state"] != "dead")
        .await;
}

#[tokio::test]
async fn a_foreign_delivery_with_any_job_is_ignored() {
    let github = Hanging::start().await;
    let gate = Gate::start(&github.url, &[]).await;
    let theirs = "somebody/else";
    let owner = json!({"name": "else", "owner": {"login": "somebody"}});
    let deep: Vec<u8> = format!(
        "{{\"repository\": {owner}, \"workflow_job\": {}{}}}",
        "[".repeat(9000),
        "]".repeat(9000)
    )
    .into();
    for (number, (body, reason)) in [
        (with(theirs, &[("/workflow_job", Value::Null)]), "repository"),
        (with(theirs, &[("/workflow_job/id", json!("1"))]), "repository"),
        (with(theirs, &[("/action", json!(null))]), "repository"),
        (
            with(theirs, &[("/repository", owner.clone()), ("/workflow_job", json!(1))]),
            "repository",
        ),
        (deep, "repository"),
        (
            with(OURS, &[("/action", json!("paused")), ("/workflow_job", Value::Null)]),
            "action",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let about = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let answer = gate.deliver("workflow_job", &guid(number), body).await;
        assert_eq!(
            (answer.status, &answer.body["reason"]),
            (200, &json!(reason)),
            "{about}"
        );
    }
    assert!(gate.alerts().await.is_empty());
}
