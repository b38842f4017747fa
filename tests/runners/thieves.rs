//! A JIT runner is bound to no job: whoever asks for its labels can be given it. The job gate is what stops a thief.

use crate::stage::{Stage, needs, world};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_runs_no_step_and_the_victim_gets_another_runner() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let pulls = json!([
        {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
         "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
        {"number": 7},
    ]);
    // The thief's job is the older one, so GitHub gives it the runner.
    let runs = json!([
        {"id": 30, "pull": 8, "jobs": [{"id": 666}]},
        {"id": 20, "pull": 7, "jobs": [{"id": 701}]},
    ]);
    let mut stage = Stage::set(world(runs, pulls), &[]).await;
    // GitHub told of the trusted job only, so nothing is in quarantine.
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(!tally.jobs[&666].ran, "a step of the thief ran: {tally:?}");
    assert!(tally.jobs[&701].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (2, 1), "one was stolen, and one more made");
    assert_eq!(
        tally.variables["CI_SELF_HOSTED_TRUSTED_ROUTING"], "true",
        "a contained attempt"
    );
    let alerts = stage.alerts().await;
    assert_eq!(alerts, ["stolen-runner", "untrusted-on-self-hosted"]);
    let story = stage.story(701).await.to_string();
    assert!(story.contains("stolen"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_job_may_keep_the_runner_of_another_and_both_run() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let runs = json!([{"id": 20, "pull": 7, "jobs": [{"id": 701}, {"id": 702, "name": "api"}]}]);
    let mut stage = Stage::set(world(runs, json!([{"number": 7}])), &[]).await;
    // The older one is told of later, and takes the runner made for the younger.
    stage.deliver("queued", 702).await;
    stage
        .until("a job runs", |tally| {
            tally.jobs.values().any(|job| job.status == "in_progress")
        })
        .await;
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert_eq!((tally.minted, tally.ran), (2, 2), "{tally:?}");
    assert_eq!(stage.alerts().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_may_not_have_a_runner_does_not_get_somebody_elses_either() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    // A collaborator who may only read passes the routing rule, and admission refuses.
    let pulls = json!([
        {"number": 8, "author": "reader", "association": "COLLABORATOR"},
        {"number": 7},
    ]);
    let runs = json!([
        {"id": 30, "pull": 8, "jobs": [{"id": 666}]},
        {"id": 20, "pull": 7, "jobs": [{"id": 701}]},
    ]);
    let mut stage = Stage::set(world(runs, pulls), &[]).await;
    stage.deliver("queued", 666).await;
    stage
        .gate
        .ask_until("/api/v1/jobs/666", |story| story["admission"]["verdict"] == "deny")
        .await;
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(!tally.jobs[&666].ran, "{tally:?}");
    assert!(tally.jobs[&701].ran, "{tally:?}");
}
