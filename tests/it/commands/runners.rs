//! `jitgate runner list` and `/api/v1/runners`: which runners there are, and which jobs wait for one.

use super::stage::Stage;
use serde_json::{Value, json};

/// The values under a key in each row.
fn each<'a>(rows: &'a Value, key: &str) -> Vec<&'a Value> {
    rows.as_array().expect("a list").iter().map(|row| &row[key]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_and_waiting_jobs_are_listed_as_in_the_admin_api() {
    let stage = Stage::with_a_full_pool().await;
    let told = stage.jitgate(&["runner", "list"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines.len(), 5 + 1 + 2, "{}", told.out);
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        words,
        ["NAME", "STATE", "OUTCOME", "REPOSITORY", "JOB", "SIZE", "SINCE", "ID"]
    );
    for line in &lines[1..5] {
        assert!(line.starts_with("chem-jit-commands-20"), "{line}");
        assert!(line.contains(" running  -  "), "{line}");
        assert!(line.contains("octo-org/chem-model"), "{line}");
    }
    assert!(lines[6].starts_with("WAITING JOB"), "{}", told.out);
    assert!(lines[7].starts_with("205 "), "{}", told.out);

    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    assert_eq!(stage.ask_json("/api/v1/runners").await, listed);
    assert_eq!(each(&listed["runners"], "state"), vec!["running"; 4]);
    assert_eq!(each(&listed["waiting"], "job"), [205]);
    assert_eq!(listed["waiting"][0]["repository"], "octo-org/chem-model");
    assert_eq!(listed["waiting"][0]["holder"], Value::Null);
    assert!(listed["runners"][0]["since"].is_string() && listed["runners"][0]["id"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_the_listed_runners() {
    let stage = Stage::with_a_full_pool().await;
    let none = json!({"runners": [], "waiting": []});
    for (args, query) in [
        (&["--state", "gated"][..], "state=gated"),
        (&["--state", "destroyed"], "state=destroyed"),
        (&["--repo", "octo-org/other"], "repository=octo-org/other"),
    ] {
        let args = [&["--json", "runner", "list"], args].concat();
        assert_eq!(stage.jitgate(&args).json(), none, "{args:?}");
        assert_eq!(
            stage.ask_json(&format!("/api/v1/runners?{query}")).await,
            none,
            "{query}"
        );
    }
    let running = stage
        .ask_json("/api/v1/runners?state=gated,running&repository=Octo-Org/Chem-Model")
        .await;
    assert_eq!(each(&running["runners"], "state"), vec!["running"; 4]);
    assert_eq!(
        running["waiting"],
        json!([]),
        "a job that waits is in no state of a runner"
    );

    let few = stage.jitgate(&["runner", "list", "--limit", "2"]);
    assert_eq!(few.out.lines().count(), 3 + 1 + 2, "{}", few.out);
    assert!(few.err.contains("there may be more than these 2"), "{}", few.err);
    assert_eq!(
        each(&stage.ask_json("/api/v1/runners?limit=3").await["runners"], "state").len(),
        3
    );

    for wrong in ["state=lost", "limit=many", "colour=red", "all=maybe"] {
        assert_eq!(stage.ask(&format!("/api/v1/runners?{wrong}")).await.0, 400, "{wrong}");
    }
    for wrong in [&["--state", "lost"][..], &["--limit", "0"], &["--limit", "1001"]] {
        let told = stage.jitgate(&[&["runner", "list"], wrong].concat());
        assert_eq!(told.code, 2, "{wrong:?}: {}", told.err);
    }
    assert_eq!(stage.ask_as("/api/v1/runners", "guess").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_gone_is_listed_with_its_outcome_on_request() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage
        .world(json!({"runs": [{"id": 20, "jobs": [{"id": 101, "duration_s": 0}]}]}))
        .await;
    stage.github.settle().await.expect("the simulator goes on");
    stage.deliver("guid-2", "completed", 101).await;
    stage.work().await;

    let now = stage.ask_json("/api/v1/runners").await;
    assert_eq!(now, json!({"runners": [], "waiting": []}));
    let all = stage.ask_json("/api/v1/runners?all=true").await;
    assert_eq!(each(&all["runners"], "outcome"), ["completed"]);
    let told = stage.jitgate(&["runner", "list", "--all"]);
    assert!(
        told.out.contains("chem-jit-commands-101-1  destroyed  completed"),
        "{}",
        told.out
    );
    assert_eq!(
        stage
            .jitgate(&["--json", "runner", "list", "--state", "destroyed"])
            .json(),
        all
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_has_examples() {
    let stage = Stage::set().await;
    for args in [&["runner", "--help"][..], &["runner", "list", "--help"]] {
        let told = stage.jitgate(args);
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(told.out.contains("Examples:\n  jitgate runner list"), "{}", told.out);
    }
}
