//! `/metrics`: what it says after a few deliveries, and that Prometheus takes it.

use super::stage::Stage;
use jitgate::app::events::worker;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    values.next().map(|value| value.parse().expect("a number"))
}

/// Returns the findings of `promtool check metrics`.
fn promtool(text: &str) -> String {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.expect("promtool is missing: install the Debian package `prometheus`");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    format!(
        "{}{}",
        String::from_utf8_lossy(&said),
        if output.status.success() { "" } else { "failed" }
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_in_the_format_of_prometheus() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage.deliver("guid-2", "queued", 102).await;
    stage.work().await;
    stage.deliver("guid-3", "in_progress", 101).await;
    stage.give_up("unreadable").await;
    stage.deliver("guid-4", "completed", 101).await;
    assert_eq!(stage.post_unsigned("workflow_job").await, 401);
    assert_eq!(stage.post_unsigned("evil\"} 1").await, 401);
    stage.gate.alerts.run_until_idle().await.expect("the store answers");

    let (status, text) = stage.ask("/metrics").await;
    assert_eq!(status, 200);
    for (sample, expected) in [
        (
            r#"jitgate_deliveries_total{event="workflow_job",action="queued",result="queued"}"#,
            2.0,
        ),
        (
            r#"jitgate_deliveries_total{event="workflow_job",action="none",result="signature"}"#,
            1.0,
        ),
        (
            r#"jitgate_deliveries_total{event="other",action="none",result="signature"}"#,
            1.0,
        ),
        (r#"jitgate_webhook_secret_used_total{position="0"}"#, 4.0),
        (r#"jitgate_queue_entries{state="ready"}"#, 1.0),
        (r#"jitgate_queue_entries{state="leased"}"#, 0.0),
        (r#"jitgate_queue_entries{state="dead"}"#, 1.0),
        (
            r#"jitgate_decisions_total{trust="untrusted",labels_class="pool",routing="attempt",admission="deny"}"#,
            1.0,
        ),
        (r#"jitgate_alerts_open{severity="critical"}"#, 1.0),
        (r#"jitgate_alerts_open{severity="warning"}"#, 0.0),
        (r#"jitgate_canary_stage{repository="octo-org/chem-model"}"#, 0.0),
        (r#"jitgate_routing_enabled{repository="octo-org/chem-model"}"#, 1.0),
        (r#"jitgate_alert_deliveries_total{sink="log",result="delivered"}"#, 1.0),
        (
            r#"jitgate_github_requests_total{endpoint="generate_jit",status="201"}"#,
            1.0,
        ),
        ("jitgate_delivery_lag_seconds_count", 3.0),
        ("jitgate_receive_seconds_count", 6.0),
        ("jitgate_delivery_wait_seconds_count", 2.0),
        ("jitgate_decide_seconds_count", 3.0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample} in\n{text}");
    }
    for sample in [
        "jitgate_queue_oldest_seconds",
        r#"jitgate_github_rate_limit_remaining{resource="core"}"#,
    ] {
        assert!(value(&text, sample).is_some(), "{sample} in\n{text}");
    }
    assert!(!text.contains("evil"), "{text}");
    assert_eq!(promtool(&text), "", "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_a_fresh_process_are_valid_and_require_the_token() {
    let stage = Stage::set().await;
    let (status, text) = stage.ask("/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(promtool(&text), "", "{text}");
    assert_eq!(stage.ask_as("/metrics", "guess").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_measured_once_from_its_environment_to_its_end() {
    let stage = Stage::set().await;
    let (_, text) = stage.ask("/metrics").await;
    for sample in [
        r#"jitgate_runners{state="wanted"}"#,
        r#"jitgate_runners{state="minting"}"#,
        r#"jitgate_runners{state="ended"}"#,
        r#"jitgate_runner_outcomes_total{outcome="nobody-came"}"#,
        r#"jitgate_runner_outcomes_total{outcome="completed"}"#,
        "jitgate_pickup_seconds_count",
    ] {
        assert_eq!(value(&text, sample), Some(0.0), "{sample} in\n{text}");
    }

    stage.deliver("guid-1", "queued", 101).await;
    worker::run_until_idle(&stage.gate, "test")
        .await
        .expect("the store answers");
    let (_, text) = stage.ask("/metrics").await;
    assert_eq!(value(&text, r#"jitgate_runners{state="wanted"}"#), Some(1.0), "{text}");
    stage.work().await;
    let (_, text) = stage.ask("/metrics").await;
    assert_eq!(value(&text, r#"jitgate_runners{state="wanted"}"#), Some(0.0), "{text}");
    assert_eq!(value(&text, r#"jitgate_runners{state="running"}"#), Some(1.0), "{text}");

    // Each is delivered twice, under two GUIDs.
    for guid in ["guid-2", "guid-3"] {
        stage.deliver(guid, "in_progress", 101).await;
        stage.work().await;
    }
    let ran = json!({"id": 101, "status": "completed", "steps": ["Set up job", "Run make", "Complete job"]});
    stage.world(json!({"runs": [{"id": 20, "jobs": [ran]}]})).await;
    for guid in ["guid-4", "guid-5"] {
        stage.deliver(guid, "completed", 101).await;
        stage.work().await;
    }
    let (_, text) = stage.ask("/metrics").await;
    for (sample, expected) in [
        (r#"jitgate_runners{state="running"}"#, 0.0),
        (r#"jitgate_runner_outcomes_total{outcome="completed"}"#, 1.0),
        (r#"jitgate_runner_outcomes_total{outcome="cancelled"}"#, 0.0),
        ("jitgate_mint_seconds_count", 1.0),
        ("jitgate_pickup_seconds_count", 1.0),
        ("jitgate_queue_wait_seconds_count", 1.0),
        (r#"jitgate_queue_wait_seconds_bucket{le="120.0"}"#, 1.0),
        ("jitgate_setup_latency_seconds_count", 1.0),
        (r#"jitgate_setup_latency_seconds_bucket{le="180.0"}"#, 1.0),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample} in\n{text}");
    }
    assert!(value(&text, "jitgate_boot_seconds_count") >= Some(1.0), "{text}");
    assert_eq!(promtool(&text), "", "{text}");
}

#[test]
fn promtool_does_find_fault() {
    assert_ne!(promtool("# TYPE jitgate_a counter\njitgate_a 1\n"), "");
}
