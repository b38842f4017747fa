//! `jitgate alert`.

use super::stage::Stage;
use jitgate::runtime;
use serde_json::{Value, json};

/// Has the outsider's job raise its alert; gives the alert as the admin API shows it.
async fn raised(stage: &Stage) -> Value {
    stage.deliver("guid-1", "queued", 102).await;
    stage.work().await;
    stage.ask_json("/api/v1/alerts").await["alerts"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_listed_acknowledged_and_resolved_beside_a_worker() {
    let stage = Stage::set().await;
    let none = stage.jitgate(&["alert", "list"]);
    assert_eq!((none.code, none.out.lines().count(), none.err.as_str()), (0, 1, ""));
    let alert = raised(&stage).await;
    let id = alert["id"].as_str().expect("an id");

    let listed = stage.jitgate(&["alert", "list"]);
    assert_eq!(listed.code, 0);
    let row = listed.out.lines().nth(1).expect("a row");
    let cells: Vec<&str> = row.split_whitespace().take(6).collect();
    let expected = [
        id,
        "open",
        "critical",
        "untrusted-on-self-hosted",
        "octo-org/chem-model",
        "1",
    ];
    assert_eq!(cells, expected);
    assert!(
        listed.out.contains(
            "job 102 \"\u{fffd}［31mweb\" of pull request 8 by mallory is not trusted (fork, association:NONE)"
        ),
        "{}",
        listed.out
    );
    for part in ["jitgate why JOB_ID", &format!("jitgate alert ack {id} --by NAME")] {
        assert!(listed.err.contains(part), "{part} is not in {}", listed.err);
    }

    let acked = stage.jitgate(&["alert", "ack", &id[..6], "--by", "alice"]);
    assert_eq!(acked.code, 0, "{}", acked.err);
    assert!(
        acked.out.contains(" acked ") && acked.out.contains(" alice "),
        "{}",
        acked.out
    );
    assert!(
        acked.err.contains(&format!("jitgate alert resolve {id}")),
        "{}",
        acked.err
    );
    let metrics = stage.ask("/metrics").await.1;
    assert!(
        metrics.contains("jitgate_alerts_open{severity=\"critical\"} 1"),
        "{metrics}"
    );

    let resolved = stage.jitgate(&["alert", "resolve", id, "--json"]).json();
    let alert = &resolved["alerts"][0];
    assert_eq!(
        (&alert["state"], &alert["resolved_by"]),
        (&json!("resolved"), &json!(runtime::login_name()))
    );
    assert_eq!((&alert["acked_by"], &alert["count"]), (&json!("alice"), &json!(1)));
    assert_eq!(
        stage.ask_json("/api/v1/alerts").await["alerts"][0],
        *alert,
        "the gate sees it"
    );
    let metrics = stage.ask("/metrics").await.1;
    assert!(
        metrics.contains("jitgate_alerts_open{severity=\"critical\"} 0"),
        "{metrics}"
    );
    let again = stage.jitgate(&["alert", "resolve", id]);
    assert_eq!(again.code, 0, "{}", again.err);
    let late = stage.jitgate(&["alert", "ack", id]);
    assert_eq!((late.code, late.out.as_str()), (1, ""));
    assert!(late.err.contains("is already resolved by"), "{}", late.err);

    assert_eq!(stage.jitgate(&["alert", "list"]).out.lines().count(), 1);
    let over = stage.jitgate(&["alert", "list", "--state", "resolved"]);
    assert!(
        over.out.contains(id) && over.err.is_empty(),
        "{} {}",
        over.out,
        over.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolved_alert_opens_again_for_another_job_and_not_for_a_late_event() {
    let stage = Stage::set().await;
    let id = raised(&stage).await["id"].as_str().expect("an id").to_owned();
    stage.jitgate(&["alert", "resolve", &id, "--json"]).json();
    stage.deliver("guid-2", "completed", 102).await;
    stage.work().await;
    assert_eq!(stage.ask_json("/api/v1/alerts").await["alerts"][0]["state"], "resolved");
    stage
        .world(json!({"runs": [{"id": 31, "pull": 8, "jobs": [{"id": 103}]}]}))
        .await;
    stage.deliver("guid-3", "queued", 103).await;
    stage.work().await;
    let alerts = stage.ask_json("/api/v1/alerts").await;
    let alert = &alerts["alerts"][0];
    let told = ["state", "episode", "count", "job_id", "acked_by", "resolved_by"].map(|key| &alert[key]);
    assert_eq!(
        told,
        [
            &json!("open"),
            &json!(2),
            &json!(1),
            &json!(103),
            &Value::Null,
            &Value::Null
        ]
    );
    assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_apply_and_contradictory_ones_are_refused() {
    let stage = Stage::set().await;
    raised(&stage).await;
    let count = |args: &[&str]| {
        let listed = stage.jitgate(&[&["alert", "list", "--json"], args].concat()).json();
        listed["alerts"].as_array().expect("a list").len()
    };
    assert_eq!(count(&["--kind", "untrusted-on-self-hosted", "--kind", "rollback"]), 1);
    assert_eq!(count(&["--kind", "rollback"]), 0);
    assert_eq!(count(&["--repository", "Octo-Org/chem-model", "--state", "open"]), 1);
    assert_eq!(count(&["--repository", "octo-org/other"]), 0);
    assert_eq!(count(&["--state", "acked"]), 0);
    for (args, code, said) in [
        (&["list", "--state", "closed"][..], 2, "open, acked, resolved"),
        (&["list", "--kind", "closed"], 2, "stolen-runner"),
        (&["list", "--limit", "0"], 2, "0"),
        (&["ack"], 2, "ID"),
        (&["ack", "../x"], 2, "hexadecimal"),
        (&["ack", "abc"], 2, "hexadecimal"),
        (&["ack", "0123456789abcdef"], 1, "unknown alert 0123456789abcdef"),
        (&["resolve", "0123"], 1, "jitgate alert list"),
    ] {
        let refused = stage.jitgate(&[&["alert"], args].concat());
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            refused.err
        );
        assert!(refused.err.contains(said), "{args:?}: {}", refused.err);
    }
}
