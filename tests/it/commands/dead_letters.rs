//! `jitgate dead-letter`.

use super::stage::Stage;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_retried_and_dropped() {
    let stage = Stage::set().await;
    stage.deliver("alive", "completed", 102).await;
    stage.work().await;
    for (guid, action) in [("dead-1", "queued"), ("dead-2", "in_progress")] {
        stage.deliver(guid, action, 101).await;
        stage.give_up("GitHub refused\nfor good").await;
    }
    let listed = stage.jitgate(&["dead-letter", "list"]);
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);
    assert!(listed.out.contains("GitHub refused\\nfor good"), "{}", listed.out);

    let refused = stage.jitgate(&["dead-letter", "retry", "dead-1", "alive"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
    assert!(
        refused.err.contains("alive is done, not a dead letter"),
        "{}",
        refused.err
    );

    let retried = stage.jitgate(&["dead-letter", "retry", "dead-1"]);
    assert_eq!(
        retried.out, "dead-1 queued again\n1 of 1 queued again\n",
        "{}",
        retried.err
    );
    stage.work().await;
    let shown = stage.jitgate(&["delivery", "show", "dead-1", "--json"]).json();
    assert_eq!(shown["delivery"]["state"], "done");
    assert_eq!(shown["decision"]["actions"], json!(["provision"]));

    let dropped = stage.jitgate(&["dead-letter", "drop", "--all", "--json"]).json();
    assert_eq!(dropped, json!({"result": "dropped", "deliveries": ["dead-2"]}));
    assert_eq!(stage.jitgate(&["delivery", "show", "dead-2"]).code, 1);
    assert_eq!(stage.jitgate(&["dead-letter", "list"]).out.lines().count(), 1);
    stage.deliver("dead-2", "in_progress", 101).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_means_no_more_than_the_filter_and_the_limit() {
    let stage = Stage::set().await;
    for guid in ["d1", "d2", "d3"] {
        stage.deliver(guid, "queued", 101).await;
        stage.give_up("it happens").await;
    }
    let none = stage.jitgate(&["dead-letter", "retry", "--all", "--job", "7"]);
    assert_eq!((none.code, none.out.as_str()), (0, "0 of 0 queued again\n"));
    let two = stage.jitgate(&["dead-letter", "retry", "--all", "--limit", "2"]);
    assert_eq!(two.out, "d3 queued again\nd2 queued again\n2 of 2 queued again\n");
    assert_eq!(stage.jitgate(&["dead-letter", "list"]).out.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_processed_again_after_a_redelivery_or_a_retry() {
    let stage = Stage::set().await;
    for (guid, job) in [("redelivered", 101), ("retried", 102)] {
        stage.deliver(guid, "queued", job).await;
    }
    stage.give_up("the disk was full").await;
    assert_eq!(
        stage
            .jitgate(&["dead-letter", "list"])
            .out
            .matches("the disk was full")
            .count(),
        2
    );

    stage.deliver("redelivered", "queued", 101).await;
    assert_eq!(stage.jitgate(&["dead-letter", "retry", "retried"]).code, 0);
    stage.work().await;
    for (guid, verdict) in [("redelivered", "admit"), ("retried", "deny")] {
        let shown = stage.jitgate(&["delivery", "show", guid, "--json"]).json();
        assert_eq!(shown["delivery"]["state"], "done", "{shown}");
        assert_eq!(shown["delivery"]["cause"], Value::Null, "{shown}");
        assert_eq!(shown["decision"]["admission"]["verdict"], verdict, "{shown}");
    }
}
