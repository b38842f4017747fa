//! `jitgate incident`, and `/api/v1/incidents`.

use super::stage::Stage;
use jitgate::app::incidents::pass;
use serde_json::{Value, json};

/// Has the outsider's job raise its alert, which opens an incident; gives the incident as the command lists it.
async fn opened(stage: &Stage) -> Value {
    stage.deliver("guid-1", "queued", 102).await;
    stage.work().await;
    follow(stage).await;
    stage.jitgate(&["incident", "list", "--json"]).json()[0].clone()
}

async fn follow(stage: &Stage) {
    pass::run_once(&stage.gate).await.expect("a pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_listed_with_its_times_and_persons() {
    let stage = Stage::set().await;
    let none = stage.jitgate(&["incident", "list"]);
    assert_eq!((none.code, none.out.lines().count(), none.err.as_str()), (0, 1, ""));
    let incident = opened(&stage).await;
    let (id, alert) = (
        incident["id"].as_str().expect("an id"),
        incident["alert"].as_str().expect("an id"),
    );
    assert!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    let known = [
        "severity",
        "state",
        "kind",
        "escalations",
        "acknowledged_at",
        "closed_at",
    ]
    .map(|key| &incident[key]);
    let expected = [
        &json!("critical"),
        &json!("safe"),
        &json!("untrusted-on-self-hosted"),
        &json!([]),
        &Value::Null,
        &Value::Null,
    ];
    assert_eq!(known, expected);
    assert_eq!(incident["safe_at"], incident["opened_at"], "the attempt was contained");

    let listed = stage.jitgate(&["incident", "list"]);
    assert_eq!(listed.code, 0);
    let row = listed.out.lines().nth(1).expect("a row");
    assert!(row.starts_with(&format!("{id}  safe ")), "{row}");
    assert!(
        listed.err.contains(&format!("jitgate alert ack {alert} --by NAME")),
        "{}",
        listed.err
    );

    stage
        .jitgate(&["alert", "ack", alert, "--by", "alice", "--json"])
        .json();
    follow(&stage).await;
    let acknowledged = stage.ask_json("/api/v1/incidents?state=handled").await["incidents"][0].clone();
    assert_eq!(
        (&acknowledged["id"], &acknowledged["acknowledged_by"]),
        (&json!(id), &json!("alice"))
    );
    stage
        .jitgate(&["alert", "resolve", alert, "--by", "bob", "--json"])
        .json();
    follow(&stage).await;
    let closed = stage
        .jitgate(&["incident", "list", "--state", "closed", "--json"])
        .json();
    assert_eq!(
        (&closed[0]["closed_by"], &closed[0]["state"]),
        (&json!("bob"), &json!("closed"))
    );
    let open = stage.jitgate(&["incident", "list", "--state", "open", "--state", "handled", "--json"]);
    assert_eq!(open.json(), json!([]));
    assert_eq!(stage.ask("/api/v1/incidents?state=x").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_shows_timeline_evidence_and_safe_state_as_inert_text() {
    let stage = Stage::set().await;
    let incident = opened(&stage).await;
    let (id, alert) = (
        incident["id"].as_str().expect("an id"),
        incident["alert"].as_str().expect("an id"),
    );
    let by = "al|ice <@U1> [x](https://evil.example)";
    stage.jitgate(&["alert", "ack", alert, "--by", by, "--json"]).json();
    stage
        .jitgate(&["alert", "resolve", alert, "--by", "bob", "--json"])
        .json();
    follow(&stage).await;
    let report = stage.jitgate(&["incident", "report", &id[..6]]);
    assert_eq!(report.code, 0, "{}", report.err);
    for part in [
        &format!("# Incident {id}: untrusted-on-self-hosted"),
        "| Repository | octo-org/chem-model |",
        "by jitgate: the job was contained and reached no step |",
        " | acknowledged | al｜ice ＜＠U1＞ ［x］(https：//evil．example) |",
        " | resolved | bob |",
        "## Timeline",
        "## Evidence",
        "| 102 \u{fffd}［31mweb | 30, attempt 1 | 8 by mallory | queued | untrusted (fork, association:NONE) | attempt |",
        "- fork: ",
        "## Remedy",
    ] {
        assert!(report.out.contains(part), "{part} is not in {}", report.out);
    }
    for line in report.out.lines().filter(|line| line.starts_with('|')) {
        let cells = line.matches('|').count();
        assert!([3, 4, 10].contains(&cells), "{line}");
    }
    for markup in ["<", "](", "https:", "@"] {
        assert!(!report.out.contains(markup), "{markup} is in {}", report.out);
    }

    let path = stage.path("incident.md");
    let file = path.to_str().expect("a path");
    let written = stage.jitgate(&["incident", "report", id, "--out", file]);
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{}", written.err);
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), report.out);
    let json = stage.jitgate(&["incident", "report", id, "--json"]).json();
    assert_eq!(json["incident"]["evidence"][0]["run"], 30);
    let events: Vec<_> = json["incident"]["timeline"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["event"])
        .collect();
    assert_eq!(events, ["opened", "safe", "acknowledged", "closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_ambiguous_incidents_are_refused() {
    let stage = Stage::set().await;
    opened(&stage).await;
    for (args, code, said) in [
        (&["list", "--state", "resolved"][..], 2, "handled"),
        (&["list", "--limit", "0"], 2, "0"),
        (&["report"], 2, "ID"),
        (&["report", "../x"], 2, "hexadecimal"),
        (&["report", "0123456789abcdef"], 1, "unknown incident 0123456789abcdef"),
    ] {
        let refused = stage.jitgate(&[&["incident"], args].concat());
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            refused.err
        );
        assert!(refused.err.contains(said), "{args:?}: {}", refused.err);
    }
    let id = stage.jitgate(&["incident", "list", "--json"]).json()[0]["id"].clone();
    let file = stage.path("nowhere/incident.md");
    let file = file.to_str().expect("a path");
    let refused = stage.jitgate(&["incident", "report", id.as_str().expect("an id"), "--out", file]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("cannot write") && refused.err.contains("use a file in a writable directory"),
        "{}",
        refused.err
    );
}
