//! Only a trusted pool job makes a request for a runner.

use super::stage::{Stage, needs, world};
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
use serde_json::json;

on_each_store!(only_an_admitted_job_makes_a_request);

async fn only_an_admitted_job_makes_a_request(store: Settings<'_>) {
    needs("bwrap", "bubblewrap");
    let pulls = json!([
        {"number": 1, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
         "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
        {"number": 2, "author": "renovate[bot]"},
        {"number": 3, "author": "reader", "association": "COLLABORATOR"},
        {"number": 4, "state": "closed"},
        {"number": 5},
        {"number": 6},
    ]);
    let runs = json!([
        {"id": 10, "pull": 1, "jobs": [{"id": 101}]},
        {"id": 11, "event": "push", "jobs": [{"id": 111}]},
        {"id": 12, "event": "pull_request_target", "actor": "alice", "jobs": [{"id": 121}]},
        {"id": 13, "pull": 2, "jobs": [{"id": 131}]},
        {"id": 14, "pull": 3, "jobs": [{"id": 141}]},
        {"id": 15, "pull": 4, "jobs": [{"id": 151}]},
        {"id": 16, "pull": 5, "jobs": [{"id": 161}]},
        {"id": 17, "pull": 6, "jobs": [{"id": 171}]},
        {"id": 18, "event": "schedule", "jobs": [{"id": 181}]},
        {"id": 20, "pull": 6, "jobs": [{"id": 201}]},
    ]);
    // Enforcing, the first misroute would switch routing off, and the rest would be refused for that.
    let settings = [store, &[("routing.quarantine_s", "1"), ("rollout.mode", "observe")]].concat();
    let stage = Stage::set(world(runs, pulls), &settings).await;
    // GitHub tells of these two before they are gone.
    let mut gone = Vec::new();
    for job in [171, 201] {
        let payload = stage.github.render("workflow_job", "queued", job, None).await;
        gone.push(payload.expect("a payload"));
    }
    let change = json!({
        "pulls": [{"number": 5, "head": {"branch": "pull-5", "sha": "newer"}}],
        "runs": [
            {"id": 17, "jobs": [{"id": 171, "deleted": true}]},
            {"id": 19, "head": {"branch": "nobody-proposed-this"}, "jobs": [{"id": 191}]},
            {"id": 20, "deleted": true},
        ],
    });
    stage.github.apply(&change).await.expect("a change");
    for payload in &gone {
        stage.deliver_payload(payload).await;
    }
    let refused = [
        (101, "fork"),
        (111, "event:push"),
        (121, "event:pull_request_target"),
        (131, "bot-actor"),
        (141, "author-permission:read"),
        (151, "pull-request-closed"),
        (161, "head-moved"),
        (171, "job-gone"),
        (181, "event:schedule"),
        (191, "no-pull-request"),
        (201, "run-gone"),
    ];
    for (job, _) in refused.iter().filter(|(job, _)| ![171, 201].contains(job)) {
        stage.deliver("queued", *job).await;
    }
    for (job, reason) in refused {
        let is_refused = |story: &serde_json::Value| {
            let reasons = story["admission"]["reasons"].as_array();
            let given = reasons.is_some_and(|reasons| reasons.contains(&json!(reason)));
            given && story["admission"]["verdict"] == "deny"
        };
        let story = stage.gate.ask_until(&format!("/api/v1/jobs/{job}"), is_refused).await;
        assert!(!story["actions"].to_string().contains("provision"), "{story}");
    }
    let tally = stage.github.tally().await.expect("a tally");
    assert_eq!((tally.minted, tally.calls.get("jit")), (0, None));
    assert!(
        stage
            .gate
            .alerts()
            .await
            .contains(&"untrusted-on-self-hosted".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_repository_is_refused_unless_that_was_chosen() {
    needs("bwrap", "bubblewrap");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}]});
    let settings = [("local.public_repositories", "false")];
    let stage = Stage::set(world(json!([run]), json!([{"number": 7}])), &settings).await;
    stage.deliver("queued", 101).await;
    let told = |story: &serde_json::Value| {
        story["admission"]["verdict"] == "deny" && story["history"][0]["pending"] == json!([])
    };
    let story = stage.gate.ask_until("/api/v1/jobs/101", told).await;
    assert_eq!(story["admission"]["reasons"], json!(["public-repository"]));
    assert_eq!(stage.gate.alerts().await, ["job-stuck"]);
    assert_eq!(stage.github.tally().await.expect("a tally").minted, 0);
}
