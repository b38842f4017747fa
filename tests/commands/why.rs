//! `jitgate why`.

use crate::stage::Stage;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_whole_story_of_a_job() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage.deliver("guid-2", "in_progress", 101).await;

    let told = stage.jitgate(&["why", "101"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "job 101  web  of octo-org/chem-model",
        "run        20, attempt 1",
        "progress   queued",
        "runner     chem-jit-commands-101-1, minted, id ",
        "queued  delivery guid-1: done after 1 try",
        "labels     pool",
        "trust      trusted, pull request #7 by alice",
        "routing    correct (routing is on)",
        "admission  admit",
        "actions    provision",
        "in_progress  delivery guid-2: queued after 0 tries",
        "nothing decided yet",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }

    stage.deliver("guid-3", "queued", 102).await;
    stage.work().await;
    let told = stage.jitgate(&["why", "102"]);
    for part in [
        "job 102  \\u001b[31mweb",
        "trust      untrusted, pull request #8 by mallory: fork, association:NONE",
        "routing    attempt",
        "admission  deny",
        "actions    cancel-run, alert:untrusted-on-self-hosted",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    assert!(!told.out.contains('\u{1b}'), "nothing steers the terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_in_json_is_the_decision_record_with_its_history() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage.deliver("guid-2", "in_progress", 101).await;
    stage.work().await;
    let story = stage.jitgate(&["--json", "why", "101"]).json();
    assert_eq!(story["delivery"], "guid-2");
    assert_eq!(story["action"], "in_progress");
    assert_eq!(
        story["trust"],
        json!({"verdict": "trusted", "pull_request": 7, "reasons": []})
    );
    assert_eq!(story["progress"], "in_progress");
    assert_eq!(story["runner"]["state"], "running");
    let history = story["history"].as_array().expect("a list");
    let deliveries: Vec<&Value> = history.iter().map(|chapter| &chapter["delivery"]).collect();
    assert_eq!(deliveries, ["guid-1", "guid-2"]);
    assert_eq!(history[0]["actions"], json!(["provision"]));
    assert_eq!(history[0]["pending"], json!([]));
    assert_eq!(history[0]["queue"]["state"], "done");
    assert_eq!(story["undecided"], json!([]));
    assert_eq!(
        stage.ask_json("/api/v1/jobs/101").await,
        story,
        "the admin API says the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_nobody_heard_of_is_a_negative_answer() {
    let stage = Stage::set().await;
    let told = stage.jitgate(&["why", "999"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.err.contains("nothing is known of job 999"), "{}", told.err);
    assert!(told.err.contains("jitgate: remedy: "), "{}", told.err);
    assert_eq!(stage.jitgate(&["why", "the-web-job"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_inside_the_serving_process_is_pointed_to() {
    let stage = Stage::set().await;
    std::fs::write(stage.path("jitgate.toml"), "[store]\nurl = \"memory:\"\n").expect("a file");
    for command in [&["why", "1"][..], &["delivery", "list"], &["dead-letter", "list"]] {
        let told = stage.jitgate(command);
        assert_eq!(told.code, 5, "{}", told.err);
        for part in ["memory:", "http://127.0.0.1:9090", "/api/v1/jobs/ID", "admin-token"] {
            assert!(told.err.contains(part), "{}", told.err);
        }
    }
    std::fs::write(stage.path("jitgate.toml"), "[store]\nurl = \"sqlite:nowhere.db\"\n").expect("a file");
    let told = stage.jitgate(&["delivery", "list"]);
    assert_eq!(told.code, 5, "{}", told.err);
    assert!(told.err.contains("jitgate serve makes it"), "{}", told.err);
}
