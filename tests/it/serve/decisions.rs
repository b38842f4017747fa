//! Decisions from end to end, in scenarios that are no fixtures: signed deliveries in, records and runners out.

use super::story::{Story, Verdict};
use crate::support::gate::Settings;
use serde_json::{Value, json};

const ENFORCE: Settings<'_> = &[("rollout.mode", "enforce")];
const OBSERVE: Settings<'_> = &[("rollout.mode", "observe")];
const VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";

/// Routing on, and two who may write.
fn world(pull: Value, run: Value) -> Value {
    let mut pull = pull;
    pull["number"] = json!(7);
    json!({
        "permissions": {"alice": "write", "bob": "admin"},
        "variables": {VARIABLE: "true"},
        "pulls": [pull],
        "runs": [run],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_all_fields_of_the_contract() {
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "labels": ["X64", "Chem-Trusted-PR", "chem-run-20"]}]});
    let mut story = Story::of(world(json!({"association": "OWNER"}), run), OBSERVE).await;
    story.deliver("queued", 101).await;
    let expected = Verdict::of("pool trusted correct admit", "", "provision");
    assert_eq!(story.verdict(101).await, expected);
    let record = story.record(101).await;
    for pointer in ["/delivery", "/received_at", "/decided_at"] {
        assert!(
            record.pointer(pointer).is_some_and(Value::is_string),
            "{pointer} in {record}"
        );
    }
    let first = &record["history"][0];
    assert_eq!(
        (&first["action"], &first["repository"]),
        (&json!("queued"), &json!("octo-org/chem-model"))
    );
    let job = &first["job"];
    assert_eq!(
        (&job["id"], &job["name"], &job["run_id"]),
        (&json!(101), &json!("web"), &json!(20))
    );
    assert_eq!(
        (&job["run_attempt"], &job["labels"]),
        (&json!(1), &json!(["X64", "Chem-Trusted-PR", "chem-run-20"]))
    );
    assert_eq!(job["head_sha"].as_str().map(str::len), Some(40));
    assert_eq!(
        first["trust"],
        json!({"verdict": "trusted", "pull_request": 7, "reasons": []})
    );
    assert_eq!(first["routing"], json!({"state": "on", "verdict": "correct"}));
    assert_eq!(first["admission"], json!({"verdict": "admit", "reasons": []}));
    let instance = story.gate.ask("/api/v1/status").await.body["instance"].clone();
    let runner = record["runner"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(runner, format!("chem-jit-{}-101-1", instance.as_str().expect("a name")));
    let tally = story.tally().await;
    assert_eq!((tally.minted, tally.ran, tally.runners_left), (1, 1, 0));
    assert_eq!(tally.jobs[&101].runner.as_ref(), Some(&runner));
    assert_eq!(
        record["action"], "completed",
        "the newest decision is on the end of the job"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatched_run_of_any_person_gets_no_runner() {
    for event in ["workflow_dispatch", "merge_group", "repository_dispatch"] {
        let run = json!({"id": 20, "event": event, "actor": "bob", "jobs": [
            {"id": 101}, {"id": 102, "labels": ["self-hosted", "gpu"]}, {"id": 103, "labels": ["ubuntu-latest"]}]});
        let mut story = Story::of(world(json!({}), run), ENFORCE).await;
        for job in [101, 102, 103] {
            story.deliver("queued", job).await;
        }
        let reason = format!("event:{event}");
        let expected = Verdict::of(
            "pool ineligible misconfigured deny",
            &reason,
            "alert:misconfigured-labels",
        );
        assert_eq!(story.verdict(101).await, expected);
        for (job, labels) in [(102, "foreign"), (103, "hosted")] {
            let verdict = story.verdict(job).await;
            let words = (
                verdict.labels.as_str(),
                verdict.routing.as_str(),
                verdict.actions.as_str(),
            );
            assert_eq!(words, (labels, "correct", ""), "{verdict:?}");
        }
        assert_eq!(story.tally().await.minted, 0);
        assert_eq!(story.gate.alerts().await, ["misconfigured-labels"]);
        assert_eq!(
            story.tally().await.jobs[&101].status,
            "queued",
            "jitgate does not cancel it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_whose_matrix_mixes_labels_is_contained_once() {
    let pull = json!({"author": "mallory", "association": "FIRST_TIME_CONTRIBUTOR", "files": [".github/actions/x/action.yml"],
        "head": {"repository": "mallory/chem-model", "branch": "main"}});
    let run = json!({"id": 20, "pull": 7, "jobs": [
        {"id": 101, "labels": ["ubuntu-latest"]},
        {"id": 102, "labels": ["Self-Hosted", "LINUX"]},
        {"id": 103, "labels": ["chem-run-21", "chem-trusted-pr", "x64"]},
    ]});
    let mut story = Story::of(world(pull, run), ENFORCE).await;
    for job in [101, 102, 103] {
        story.deliver("queued", job).await;
    }
    let trust = "association:FIRST_TIME_CONTRIBUTOR fork";
    assert_eq!(story.verdict(101).await.actions, "");
    let expected = Verdict::of(
        "reachable untrusted attempt deny",
        &format!("{trust} labels:reachable"),
        "alert:untrusted-on-self-hosted cancel-run",
    );
    assert_eq!(story.verdict(102).await, expected);
    let tally = story.tally().await;
    assert_eq!(
        (tally.minted, tally.calls["cancel"]),
        (0, 1),
        "one run, one cancellation"
    );
    assert_eq!(tally.variables[VARIABLE], "true", "an attempt switches nothing off");
    assert_eq!(tally.jobs[&103].conclusion.as_deref(), Some("cancelled"));
    assert_eq!(story.gate.alerts().await, ["untrusted-on-self-hosted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_job_that_only_reaches_is_not_served_and_rolls_back_only_when_enforced() {
    for (mode, actions, variable) in [
        (OBSERVE, "alert:trusted-not-routed", "true"),
        (ENFORCE, "alert:trusted-not-routed rollback", "false"),
    ] {
        let run =
            json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "name": "api / unit", "labels": ["self-hosted", "x64"]}]});
        let mut story = Story::of(
            world(json!({"author": "bob", "association": "COLLABORATOR"}), run),
            mode,
        )
        .await;
        story.deliver("queued", 101).await;
        let verdict = story.verdict(101).await;
        assert_eq!(
            (verdict.labels.as_str(), verdict.trust.as_str()),
            ("reachable", "trusted"),
            "{verdict:?}"
        );
        assert_eq!(
            (verdict.routing.as_str(), verdict.actions.as_str()),
            ("not-routed", actions),
            "{verdict:?}"
        );
        let tally = story.tally().await;
        assert_eq!((tally.minted, tally.variables[VARIABLE].as_str()), (0, variable));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_decided_by_its_triggering_actor() {
    let pull = json!({"author": "alice"});
    let first = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "conclusion": "failure"}]});
    let mut story = Story::of(world(pull, first), OBSERVE).await;
    story.deliver("queued", 101).await;
    for (attempt, by, job) in [(2, "bob", 102), (3, "dora", 103)] {
        let again = json!({"permissions": {"dora": "triage"}, "runs": [
            {"id": 20, "attempt": attempt, "triggering_actor": by, "jobs": [{"id": job}]}]});
        story.github.apply(&again).await.expect("a change");
        story.deliver("queued", job).await;
    }
    let served = Verdict::of("pool trusted correct admit", "", "provision");
    assert_eq!(story.verdict(101).await, served);
    assert_eq!(story.verdict(102).await, served);
    let refused = Verdict::of("pool trusted correct deny", "triggering-actor-permission:read", "");
    assert_eq!(story.verdict(103).await, refused);
    assert_eq!(story.tally().await.minted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_things_wrong_are_all_named() {
    let pull = json!({"author": "alice", "state": "closed"});
    let run = json!({"id": 20, "pull": 7, "triggering_actor": "eve", "jobs": [{"id": 101}]});
    let mut world = world(pull, run);
    world["permissions"] = json!({"alice": "triage", "eve": "none"});
    let mut story = Story::of(world, OBSERVE).await;
    story
        .github
        .apply(&json!({"pulls": [{"number": 7, "head": {"sha": "pushed since"}}]}))
        .await
        .expect("a change");
    story.deliver("queued", 101).await;
    let verdict = story.verdict(101).await;
    assert_eq!(
        (verdict.trust.as_str(), verdict.admission.as_str()),
        ("trusted", "deny"),
        "{verdict:?}"
    );
    let reasons: Vec<&str> = verdict.reasons.split(' ').collect();
    for reason in ["head-moved", "pull-request-closed"] {
        assert!(reasons.contains(&reason), "{reason} is not among {reasons:?}");
    }
    assert_eq!(story.tally().await.minted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_of_one_run_get_a_runner_each_and_no_more_than_there_is_room() {
    let jobs: Vec<Value> = (101..=103).map(|id| json!({"id": id, "duration_s": 3600})).collect();
    let run = json!({"id": 20, "pull": 7, "jobs": jobs});
    let settings = [("runners.max", "2"), ("runners.target", "2")];
    let mut story = Story::of(world(json!({}), run), &settings).await;
    for job in [101, 102, 103] {
        story.deliver("queued", job).await;
    }
    for job in [101, 102] {
        assert_eq!(story.verdict(job).await.admission, "admit");
        assert_eq!(story.record(job).await["progress"], "in_progress");
    }
    let waits = story.verdict(103).await;
    assert_eq!(waits, Verdict::of("pool trusted correct hold", "at-capacity", "retry"));
    assert_eq!(story.tally().await.minted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_refuses_everything_is_no_verdict_on_anybody() {
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}, {"id": 102, "labels": ["ubuntu-latest"]}]});
    let mut world = world(json!({}), run);
    world["faults"] = json!([{"endpoint": "*", "status": 401, "times": 1000}]);
    let mut story = Story::of(world, ENFORCE).await;
    story.deliver("queued", 101).await;
    story.deliver("queued", 102).await;
    let held = story.verdict(101).await;
    assert_eq!(
        held,
        Verdict::of("pool unknown unjudged hold", "github-unavailable", "retry")
    );
    let hosted = story.verdict(102).await;
    assert_eq!(
        (hosted.routing.as_str(), hosted.actions.as_str()),
        ("unjudged", ""),
        "{hosted:?}"
    );
    assert_eq!((story.tally().await.minted, story.gate.alerts().await), (0, Vec::new()));
}
