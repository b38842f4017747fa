//! `jitgate why`.

use super::stage::Stage;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn why_shows_the_whole_history_of_a_job() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage.deliver("guid-2", "in_progress", 101).await;

    let told = stage.jitgate(&["why", "101"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "job 101  web  of octo-org/chem-model",
        "run        20, attempt 1",
        "progress   in_progress",
        "service    served",
        "runner     chem-jit-commands-101-1, running, id ",
        "queued  delivery guid-1: done after 1 try",
        "labels     pool",
        "trust      trusted, pull request #7 by alice",
        "routing    correct (routing is on)",
        "admission  admit",
        "actions    provision",
        "in_progress  delivery guid-2: queued after 0 tries",
        "no decision yet",
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
        "because    fork: The commit of the run comes from a fork.\n             remedy: push the branch",
        "because    association:NONE: The author association of the pull request is not accepted.",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    assert!(!told.out.contains('\u{1b}'), "nothing steers the terminal");
}

/// Fails unless the text has these parts, one after the other.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let found = rest.split_once(part);
        rest = found
            .unwrap_or_else(|| panic!("{part:?} is not in its place in\n{text}"))
            .1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_in_order_from_the_first_event_to_the_end_of_the_runner() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    stage.deliver("guid-2", "in_progress", 101).await;
    stage.work().await;
    let over = json!({"id": 101, "duration_s": 0});
    stage.world(json!({"runs": [{"id": 20, "jobs": [over]}]})).await;
    stage.github.settle().await.expect("the simulator goes on");
    stage.deliver("guid-3", "completed", 101).await;
    stage.work().await;

    let told = stage.jitgate(&["why", "101"]);
    let parts = [
        "service    closed",
        "runner     chem-jit-commands-101-1, destroyed, id ",
        "what happened",
        "GitHub says queued: delivery guid-1",
        "decided: trusted, routing correct, admission admit; provision",
        "waits for a runner",
        "runner chem-jit-commands-101-1 is made",
        "runner chem-jit-commands-101-1 is known to GitHub, id ",
        "runner chem-jit-commands-101-1 starts in its slot",
        "runner chem-jit-commands-101-1 has a job at its gate",
        "let through the gate of runner chem-jit-commands-101-1",
        "runner chem-jit-commands-101-1 opens its gate",
        "GitHub says in_progress: delivery guid-2",
        "decided: trusted",
        "GitHub says completed: delivery guid-3",
        "runner chem-jit-commands-101-1 is over, completed",
        "runner chem-jit-commands-101-1 is destroyed",
        "queued  delivery guid-1: done",
    ];
    assert_in_order(&told.out, &parts);
    assert!(
        told.out
            .contains("GitHub gave runner chem-jit-commands-101-1 to job 101"),
        "{}",
        told.out
    );

    let story = stage.jitgate(&["--json", "why", "101"]).json();
    let moments = story["timeline"].as_array().expect("a list");
    let times: Vec<&str> = moments.iter().map(|m| m["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(story["service"], "closed");
    assert_eq!(story["waits"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_shows_the_reason() {
    let stage = Stage::with_a_full_pool().await;
    let told = stage.jitgate(&["why", "205"]);
    for part in [
        "service    wanted",
        "waits for  a free slot (all are in use), since ",
        "decided: trusted, routing correct, admission hold (at-capacity); retry",
        "waits for a runner",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    let waits = &stage.ask_json("/api/v1/jobs/205").await["waits"];
    assert_eq!(waits["reasons"], json!(["at-capacity"]));
    assert_eq!(waits["runner"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_runner_boots_shows_it() {
    let stage = Stage::set_with("[synthetic]\nstart_s = 3600").await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    let told = stage.jitgate(&["why", "101"]);
    for part in [
        "service    serving",
        "waits for  runner chem-jit-commands-101-1, since ",
        "runner     chem-jit-commands-101-1, booting, id ",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    let listed = stage.ask_json("/api/v1/runners").await;
    assert_eq!(listed["waiting"][0]["holder"], "chem-jit-commands-101-1");
    assert_eq!(listed["runners"][0]["state"], "booting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theft_is_in_the_history_of_both_jobs() {
    let stage = Stage::set().await;
    let older = json!({"id": 102, "created_at": Stage::an_hour_ago()});
    stage
        .world(json!({"runs": [{"id": 30, "pull": 8, "jobs": [older]}]}))
        .await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;

    let victim = stage.jitgate(&["why", "101"]);
    let parts = [
        "runner chem-jit-commands-101-1 has a job at its gate",
        "GitHub gave runner chem-jit-commands-101-1 to job 102",
        "runner chem-jit-commands-101-1 is over, stolen: job 102 had no right to it",
        "let through the gate of runner chem-jit-commands-101-2",
    ];
    assert_in_order(&victim.out, &parts);
    let thief = stage.jitgate(&["why", "102"]);
    for part in ["asked at the job gate", "untrusted", "destroy-runner"] {
        assert!(thief.out.contains(part), "{part:?} is not in\n{}", thief.out);
    }
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
    assert_eq!(deliveries, ["guid-1", "gate-chem-jit-commands-101-1", "guid-2"]);
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
async fn an_unknown_job_is_a_negative_answer() {
    let stage = Stage::set().await;
    let told = stage.jitgate(&["why", "999"]);
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.err.contains("job 999 is unknown"), "{}", told.err);
    assert!(told.err.contains("jitgate: remedy: "), "{}", told.err);
    assert_eq!(stage.jitgate(&["why", "the-web-job"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_inside_the_serving_process_is_pointed_to() {
    let stage = Stage::set().await;
    std::fs::write(stage.path("jitgate.toml"), "[store]\nurl = \"memory:\"\n").expect("a file");
    let commands = [
        &["why", "1"][..],
        &["runner", "list"],
        &["delivery", "list"],
        &["dead-letter", "list"],
    ];
    for command in commands {
        let told = stage.jitgate(command);
        assert_eq!(told.code, 5, "{}", told.err);
        for part in ["memory:", "jitgate-state/admin.sock", "/api/v1/jobs/ID", "admin-token"] {
            assert!(told.err.contains(part), "{}", told.err);
        }
    }
    std::fs::write(stage.path("jitgate.toml"), "[store]\nurl = \"sqlite:nowhere.db\"\n").expect("a file");
    let told = stage.jitgate(&["delivery", "list"]);
    assert_eq!(told.code, 5, "{}", told.err);
    assert!(told.err.contains("start jitgate serve to create it"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_outsiders_contains_no_control_characters_in_json() {
    let hostile = "web\u{9b}31m\u{7f}\u{202e}\u{200b}\u{e0041}\u{110bd}\u{1b}[2Jx";
    let stage = Stage::set().await;
    let job = json!({"id": 103, "name": hostile});
    stage
        .world(json!({"runs": [{"id": 40, "pull": 7, "jobs": [job]}]}))
        .await;
    stage.deliver("guid-103", "queued", 103).await;
    stage.work().await;
    for command in [
        &["why", "103", "--json"][..],
        &["why", "103"],
        &["delivery", "list", "--json"],
        &["delivery", "show", "guid-103", "--json"],
        &["delivery", "export", "guid-103"],
        &["runner", "list", "--json"],
        &["alert", "list", "--json"],
        &["config", "show", "--json"],
    ] {
        let answer = stage.jitgate(command);
        assert_eq!(answer.code, 0, "{command:?}: {}", answer.err);
        let raw = (answer.out + &answer.err)
            .chars()
            .find(|c| *c != '\n' && (c.is_control() || "\u{202e}\u{200b}\u{e0041}\u{110bd}".contains(*c)));
        assert_eq!(raw, None, "{command:?} prints it as it is");
    }
    let told = stage.jitgate(&["why", "103", "--json"]).json();
    assert_eq!(told["job"]["name"], hostile, "JSON keeps what was said: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shrunk_history_of_an_outsiders_job_is_shown() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 102).await;
    stage.work().await;
    let told = stage.jitgate(&["why", "102", "--json"]).json();
    assert_eq!(told["is_shrunk"], false, "it is not over");
    assert_eq!(stage.jitgate(&["delivery", "export", "guid-1"]).code, 0);
    stage.deliver("guid-2", "in_progress", 102).await;
    stage.deliver("guid-3", "completed", 102).await;
    stage.work().await;

    let told = stage.jitgate(&["why", "102"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for part in [
        "progress   completed",
        "trust      untrusted, pull request #8 by mallory: fork, association:NONE",
        "actions    cancel-run, alert:untrusted-on-self-hosted",
        "so the rest of its record is deleted",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    let exported = stage.jitgate(&["delivery", "export", "guid-1"]);
    assert_eq!(exported.code, 1, "{}", exported.out);
    assert!(
        exported
            .err
            .contains("are deleted, because its job has ended and was never trusted"),
        "{}",
        exported.err
    );

    let unknown = stage.jitgate(&["why", "999"]);
    assert_eq!(unknown.code, 1, "{}", unknown.out);
    assert!(unknown.err.contains("deleted 6 h after its end"), "{}", unknown.err);
    // A trusted one is told of in full.
    stage.deliver("guid-4", "queued", 101).await;
    stage.work().await;
    let trusted = stage.jitgate(&["why", "101", "--json"]).json();
    assert_eq!(trusted["is_shrunk"], false);
}
