//! `jitgate delivery list`, `show` and `replay`.

use super::stage::Stage;
use serde_json::Value;

/// GUIDs of a listing.
fn guids(json: &Value) -> Vec<String> {
    let listed = json["deliveries"].as_array().expect("a list").iter();
    let id = |delivery: &Value| delivery["id"].as_str().expect("a GUID").to_owned();
    listed.map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_newest_first_with_filters() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.deliver("guid-2", "queued", 102).await;
    stage.work().await;
    stage.deliver("guid-3", "in_progress", 101).await;
    let since = Stage::an_hour_ago();
    for (flags, expected) in [
        (&[][..], &["guid-3", "guid-2", "guid-1"][..]),
        (&["--limit", "2"], &["guid-3", "guid-2"]),
        (&["--state", "queued"], &["guid-3"]),
        (&["--state", "dead", "--state", "done"], &["guid-2", "guid-1"]),
        (&["--job", "101"], &["guid-3", "guid-1"]),
        (&["--repository", "Octo-Org/chem-model", "--job", "102"], &["guid-2"]),
        (&["--repo", "octo-org/other"], &[]),
        (&["--since", &since], &["guid-3", "guid-2", "guid-1"]),
        (&["--since", "2h", "--state", "done"], &["guid-2", "guid-1"]),
        (&["--since", "0s"], &[]),
    ] {
        let listed = stage.jitgate(&[&["--json", "delivery", "list"], flags].concat());
        assert_eq!(guids(&listed.json()), expected, "{flags:?}");
    }

    for (query, expected) in [
        ("", &["guid-3", "guid-2", "guid-1"][..]),
        ("?limit=2", &["guid-3", "guid-2"]),
        ("?state=done,dead", &["guid-2", "guid-1"]),
        ("?job=102&repository=octo-org/chem-model", &["guid-2"]),
        ("?since=2100-01-01T00:00:00Z", &[]),
    ] {
        let listed = stage.ask_json(&format!("/api/v1/deliveries{query}")).await;
        assert_eq!(guids(&listed), expected, "{query}");
    }
    for query in ["state=lost", "limit=many", "since=yesterday", "colour=red"] {
        let (status, problem) = stage.ask(&format!("/api/v1/deliveries?{query}")).await;
        assert_eq!(status, 400, "{query}: {problem}");
        assert!(problem.contains(r#""type":"query""#), "{problem}");
    }

    let table = stage.jitgate(&["delivery", "list", "--limit", "2"]);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", table.out);
    let column = |name: &str| lines[0].find(name).expect("a column");
    assert!(lines[1][column("STATE")..].starts_with("queued  "), "{}", table.out);
    assert!(lines[2][column("STATE")..].starts_with("done  "), "{}", table.out);
    assert!(lines[2][column("JOB")..].starts_with("102  "), "{}", table.out);
    assert!(table.err.contains("more than these 2"), "{}", table.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_shown_with_its_decision() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 102).await;
    let waiting = stage.jitgate(&["delivery", "show", "guid-1"]);
    assert!(waiting.out.contains("it has no decision"), "{}", waiting.out);
    stage.work().await;
    let shown = stage.jitgate(&["delivery", "show", "guid-1"]);
    assert!(
        shown.out.contains("trust      untrusted, pull request #8"),
        "{}",
        shown.out
    );
    let json = stage.jitgate(&["delivery", "show", "guid-1", "--json"]).json();
    assert_eq!(json["delivery"]["state"], "done");
    assert_eq!(json["decision"]["routing"]["verdict"], "attempt");

    let unknown = stage.jitgate(&["delivery", "show", "guid-9"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("delivery guid-9 is unknown"), "{}", unknown.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_replayed_beside_the_process_that_serves() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 102).await;
    let waiting = stage.jitgate(&["delivery", "replay", "guid-1"]);
    assert_eq!(waiting.code, 1);
    assert!(waiting.err.contains("is already queued"), "{}", waiting.err);
    stage.work().await;

    let replayed = stage.jitgate(&["delivery", "replay", "guid-1"]);
    assert_eq!(
        (replayed.code, replayed.out.as_str()),
        (0, "delivery guid-1 is queued again\n")
    );
    stage.work().await;
    let shown = stage.jitgate(&["--json", "delivery", "show", "guid-1"]).json();
    assert_eq!(shown["delivery"]["state"], "done");
    assert_eq!(stage.jitgate(&["delivery", "replay", "guid-9"]).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_arguments_are_a_usage_error() {
    let stage = Stage::set().await;
    for args in [
        &["delivery", "list", "--state", "lost"][..],
        &["delivery", "list", "--limit", "0"],
        &["delivery", "list", "--limit", "1001"],
        &["delivery", "list", "--since", "yesterday"],
        &["delivery", "show", "../guid"],
        &["delivery", "show"],
        &["dead-letter", "retry"],
        &["dead-letter", "drop", "guid-1", "--all"],
    ] {
        assert_eq!(stage.jitgate(args).code, 2, "{args:?}");
    }
}
