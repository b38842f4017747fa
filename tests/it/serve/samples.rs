//! GitHub's own sample payloads, signed by GitHub's own library.

use super::outage::Hanging;
use crate::support::gate::{Gate, SECRET, read};
use crate::support::payload::guid;
use futures::future::join_all;
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

#[derive(Deserialize)]
struct Sample {
    event: String,
    body: String,
    signature: String,
}

/// Every sample payload, signed with [`SECRET`].
fn samples() -> Vec<Sample> {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    let output = Command::new("node")
        .arg("sign-samples.mjs")
        .arg(SECRET)
        .current_dir(&node)
        .output()
        .expect("node; run ./tests/run, which installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "run ./tests/run, or npm ci in tests/node: {said}"
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn every_sample_is_taken_and_none_with_a_byte_changed() {
    let github = Hanging::start().await;
    let gate = &Gate::start(
        &github.url,
        &[(
            "repositories",
            "Codertocat/Hello-World,lineville/elastic-machines-testing",
        )],
    )
    .await;
    let samples = samples();
    let post = |number: usize, event: String, body: Vec<u8>, signature: String| async move {
        let request = gate
            .request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", guid(number))
            .header("X-Hub-Signature-256", signature)
            .body(body);
        read(request).await
    };
    let altered = samples.iter().enumerate().map(|(number, sample)| {
        let mut body = sample.body.clone().into_bytes();
        let at = body.len() / 2;
        body[at] ^= 1;
        post(number, sample.event.clone(), body, sample.signature.clone())
    });
    for answer in join_all(altered).await {
        assert_eq!(answer.status, 401, "{}", answer.body);
    }
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let count = samples.len();
    let as_sent = samples.into_iter().enumerate().map(|(number, sample)| async move {
        let body = sample.body.into_bytes();
        let answer = post(number, sample.event.clone(), body, sample.signature).await;
        let became = answer.body["reason"]
            .as_str()
            .or_else(|| answer.body["status"].as_str());
        assert!(matches!(answer.status, 200 | 202), "{}: {}", sample.event, answer.body);
        (sample.event, became.expect("a status").to_owned())
    });
    for key in join_all(as_sent).await {
        *seen.entry(key).or_default() += 1;
    }
    assert!(count > 300, "{count} samples");
    let of = |event: &str, became: &str| {
        seen.get(&(event.to_owned(), became.to_owned()))
            .copied()
            .unwrap_or_default()
    };
    assert!(of("ping", "pong") > 0, "{seen:?}");
    assert!(of("push", "event") > 0, "{seen:?}");
    assert_eq!(
        of("workflow_job", "queued") + of("workflow_job", "repository"),
        8,
        "{seen:?}"
    );
}
