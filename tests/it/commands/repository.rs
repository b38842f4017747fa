//! `jitgate repository accept`, and who is served before it: a name can be taken over, ids cannot.

use super::stage::{Answer, Stage};
use jitgate::app::repositories::pins;
use serde_json::{Value, json};

/// The id of the repository that the stage has at first.
const FIRST: u64 = 1_296_269;

/// Another repository bears the name from now on, with a queued job of a pull request by its owner.
async fn taken_over(stage: &Stage, id: u64, run: u64, job: u64) {
    stage
        .world(json!({
            "repositories": [{"full_name": "octo-org/chem-model", "id": id, "permissions": {"alice": "write"}}],
            "pulls": [{"number": run, "author": "alice", "association": "OWNER"}],
            "runs": [{"id": run, "pull": run, "jobs": [{"id": job}]}],
        }))
        .await;
}

async fn delivered(stage: &Stage, job: u64) -> Value {
    stage.deliver(&format!("guid-{job}"), "queued", job).await;
    stage.work().await;
    stage.ask_json(&format!("/api/v1/jobs/{job}")).await
}

fn open_alerts(stage: &Stage) -> Vec<Value> {
    let listed = stage
        .jitgate(&["--json", "alert", "list", "--kind", "repository-changed"])
        .json();
    listed["alerts"].as_array().expect("a list").clone()
}

fn accept(stage: &Stage, args: &[&str]) -> Answer {
    stage.jitgate(&[&["repository", "accept"], args].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_takes_over_a_name_is_served_only_after_an_operator_accepts_it() {
    let stage = Stage::set().await;
    assert_eq!(delivered(&stage, 101).await["admission"]["verdict"], "admit");
    taken_over(&stage, 4242, 50, 501).await;
    let story = delivered(&stage, 501).await;
    assert_eq!(
        story["admission"],
        json!({"verdict": "deny", "reasons": ["repository-changed"]})
    );
    let minted = || async { stage.github.tally().await.expect("a tally").minted };
    assert_eq!(minted().await, 1);
    let alerts = open_alerts(&stage);
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["repository"], "octo-org/chem-model");
    let verified = stage.jitgate(&["verify"]);
    assert_eq!(verified.code, 1, "{}", verified.out);
    assert!(
        verified.out.contains("GitHub shows repository 4242 of account "),
        "{}",
        verified.out
    );

    for (args, code) in [
        (&[][..], 2),
        (&["--repo", "octo-org/chem-model"], 2),
        (&["--why", " "], 2),
        (&["--why", "x", "--repo", "octo-org/other"], 3),
    ] {
        let answer = accept(&stage, args);
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            answer.err
        );
    }
    assert_eq!(open_alerts(&stage).len(), 1, "nothing was accepted");

    let words = [
        "--json",
        "--repo",
        "Octo-Org/Chem-Model",
        "--why",
        "we made it anew",
        "--by",
        "ann",
    ];
    let accepted = accept(&stage, &words).json();
    assert_eq!(
        (&accepted["old"]["id"], &accepted["new"]["id"]),
        (&json!(FIRST), &json!(4242))
    );
    assert_eq!(accepted["old"]["owner_id"], accepted["new"]["owner_id"]);
    assert_eq!(
        (&accepted["changed"], &accepted["by"], &accepted["why"]),
        (&json!(true), &json!("ann"), &json!("we made it anew"))
    );
    assert_eq!(open_alerts(&stage), [] as [Value; 0]);
    let again = accept(&stage, &words).json();
    assert_eq!((&again["changed"], &again["old"]), (&json!(false), &again["new"]));
    // The refused one would take what is made for the next.
    let over = json!({"id": 501, "status": "completed"});
    stage.world(json!({"runs": [{"id": 50, "jobs": [over]}]})).await;
    taken_over(&stage, 4242, 51, 502).await;
    assert_eq!(delivered(&stage, 502).await["admission"]["verdict"], "admit");
    assert_eq!(minted().await, 2);
    assert_eq!(stage.jitgate(&["verify"]).code, 0);

    // Without --by it is the login name, and without --repo the only configured repository.
    taken_over(&stage, 4343, 52, 503).await;
    let answer = accept(&stage, &["--why", "once more"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(lines[0], "octo-org/chem-model");
    assert!(
        lines[1].starts_with("  old  repository 4242 of account "),
        "{}",
        answer.out
    );
    assert!(
        lines[2].starts_with("  new  repository 4343 of account "),
        "{}",
        answer.out
    );
    let by = lines[3]
        .strip_prefix("accepted by ")
        .and_then(|rest| rest.strip_suffix(": once more"));
    assert!(by.is_some_and(|by| !by.is_empty()), "{}", answer.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_ids_win_over_pinned_and_accepted_ones() {
    let stage = Stage::set_with("id = 4242\n").await;
    let story = delivered(&stage, 101).await;
    assert_eq!(story["admission"]["reasons"], json!(["repository-changed"]));
    let answer = accept(&stage, &["--why", "it looks right"]);
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert!(
        answer.err.contains("the configuration contains repository 4242"),
        "{}",
        answer.err
    );
    assert_eq!(stage.github.tally().await.expect("a tally").minted, 0);
    taken_over(&stage, 4242, 50, 501).await;
    assert_eq!(delivered(&stage, 501).await["admission"]["verdict"], "admit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_reported_with_both_names() {
    let stage = Stage::set().await;
    delivered(&stage, 101).await;
    let ignored = |repository: Value| {
        let patch = json!({"repository": repository});
        let github = stage.github.clone();
        async move {
            github
                .render("workflow_job", "queued", 102, Some(&patch))
                .await
                .expect("a payload")
        }
    };
    let others = ignored(json!({"full_name": "octo-org/others", "id": 77})).await;
    assert_eq!(stage.status_of("guid-1", others.to_string()).await, 200);
    assert_eq!(open_alerts(&stage), [] as [Value; 0]);
    let renamed = ignored(json!({"full_name": "octo-org/chem-model-2"})).await;
    for guid in ["guid-2", "guid-3"] {
        assert_eq!(stage.status_of(guid, renamed.to_string()).await, 200);
    }
    let alerts = open_alerts(&stage);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["count"], 1, "one alert, however many deliveries");
    let summary = alerts[0]["summary"].as_str().expect("words");
    for part in [
        "octo-org/chem-model-2",
        "configured as octo-org/chem-model:",
        &FIRST.to_string(),
    ] {
        assert!(summary.contains(part), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_pinned_before_its_first_job_comes_and_the_alert_ends_when_it_means_the_same_again() {
    let stage = Stage::set().await;
    assert!(pins::check_all(&stage.gate).await);
    taken_over(&stage, 4242, 50, 501).await;
    assert_eq!(
        delivered(&stage, 501).await["admission"]["reasons"],
        json!(["repository-changed"])
    );
    assert!(pins::check_all(&stage.gate).await);
    let alerts = open_alerts(&stage);
    let summary = alerts[0]["summary"].as_str().expect("words");
    for id in ["repository 4242", &format!("repository {FIRST}")] {
        assert!(summary.contains(id), "{summary}");
    }
    taken_over(&stage, FIRST, 51, 502).await;
    assert!(pins::check_all(&stage.gate).await);
    assert_eq!(open_alerts(&stage), [] as [Value; 0]);
    assert_eq!(delivered(&stage, 502).await["admission"]["verdict"], "admit");
}
