//! Outsiders who make work: what they cost of GitHub's quota, and how long a trusted job waits meanwhile.

use super::story::Story;
use crate::support::gate::Settings;
use crate::support::payload::guid;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

const ENFORCE: Settings<'_> = &[("rollout.mode", "enforce")];
/// The machine is busy with other tests. Without a lane of its own the job waits for half a minute and more.
const MAX_DECISION: TimeDelta = TimeDelta::seconds(10);
const TRUSTED_JOB: u64 = 101;

/// A pull request by an outsider with so many files, the last of which is a workflow.
fn pull_of(author: &str, number: u64, files: usize) -> Value {
    let mut files: Vec<String> = (1..files).map(|n| format!("src/{n}.rs")).collect();
    files.push(".github/workflows/ci.yml".to_owned());
    let head = json!({"repository": format!("{author}/chem-model")});
    json!({"number": number, "author": author, "association": "NONE", "files": files, "head": head})
}

/// A run of that pull request with so many jobs that ask for runners of ours.
fn run_of(pull: u64, jobs: u64) -> Value {
    let jobs: Vec<Value> = (1..=jobs).map(|n| json!({"id": pull * 1000 + n})).collect();
    json!({"id": pull * 10, "pull": pull, "jobs": jobs})
}

/// A trusted pull request with a job, and what else there is.
fn world(pulls: Vec<Value>, runs: Vec<Value>, faults: Value) -> Value {
    let hosted = json!({"id": 102, "labels": ["ubuntu-latest"], "name": "changes"});
    let trusted = json!({"id": 20, "pull": 7, "jobs": [{"id": TRUSTED_JOB}, hosted]});
    let pulls = [vec![json!({"number": 7})], pulls].concat();
    let runs = [vec![trusted], runs].concat();
    json!({
        "permissions": {"alice": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "pulls": pulls,
        "runs": runs,
        "faults": faults,
    })
}

/// Delivers, and waits for nothing.
async fn tell(story: &Story, jobs: impl IntoIterator<Item = u64>) {
    for job in jobs {
        let payload = story.github.render("workflow_job", "queued", job, None).await;
        let body = payload.expect("a payload").to_string();
        let guid = guid(usize::try_from(job).expect("small"));
        assert_eq!(story.gate.deliver("workflow_job", &guid, body).await.status, 202);
    }
}

/// Returns the duration of the first decision on a job, and the decision.
async fn first_decision(story: &Story, job: u64) -> (TimeDelta, Value) {
    let path = format!("/api/v1/jobs/{job}");
    let is_judged = |record: &Value| record["history"][0]["trust"]["verdict"].is_string();
    let record = story.gate.ask_until(&path, is_judged).await;
    let first = record["history"][0].clone();
    let at = |key: &str| -> DateTime<Utc> { first[key].as_str().expect("a time").parse().expect("a time") };
    (at("decided_at") - at("received_at"), first)
}

/// Calls left, by GitHub's own books.
async fn left(story: &Story) -> u64 {
    let url = format!("{}/rate_limit", story.simulator.url());
    let answer = story
        .gate
        .http
        .get(url)
        .bearer_auth("sim-books")
        .send()
        .await
        .expect("an answer");
    let books: Value = answer.json().await.expect("JSON");
    books["resources"]["core"]["remaining"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_big_pull_request_of_an_outsider_holds_up_no_trusted_job() {
    let quiet = Story::of(world(vec![], vec![], json!([])), ENFORCE).await;
    tell(&quiet, [TRUSTED_JOB]).await;
    let (alone, _) = first_decision(&quiet, TRUSTED_JOB).await;
    drop(quiet);

    let slow = json!([{"endpoint": "pull-files", "delay_s": 0.5, "times": 100_000}]);
    let attack = world(vec![pull_of("mallory", 66, 2990)], vec![run_of(66, 64)], slow);
    let story = Story::of(attack, ENFORCE).await;
    tell(&story, 66_001..=66_064).await;
    tell(&story, [TRUSTED_JOB]).await;
    let (took, decision) = first_decision(&story, TRUSTED_JOB).await;
    assert_eq!(decision["admission"]["verdict"], "admit", "{decision}");
    assert!(took < MAX_DECISION, "it took {took}, and {alone} without outsiders");

    let (judged, decision) = first_decision(&story, 66_001).await;
    assert_eq!(decision["trust"]["verdict"], "untrusted", "{decision}");
    assert!(judged > took, "the pages were slow: {judged}, {took}");
    let is_over = |status: &Value| {
        status["queue"]["ready"] == 0 && status["queue"]["delayed"] == 0 && status["queue"]["leased"] == 0
    };
    story.gate.ask_until("/api/v1/status", is_over).await;
    let calls = story.tally().await.calls;
    assert_eq!(calls["pull-files"], 30, "{calls:?}");
    let all: u64 = calls.values().sum();
    assert!(all < 250, "64 jobs of one pull request cost {all} calls: {calls:?}");
    assert!(left(&story).await > 4_750);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_outsiders_leaves_the_reserve_to_the_trusted() {
    let authors: Vec<u64> = (100..140).collect();
    let pulls = authors.iter().map(|n| pull_of(&format!("sock-{n}"), *n, 250)).collect();
    let runs = authors.iter().map(|n| run_of(*n, 1)).collect();
    let mut attack = world(pulls, runs, json!([]));
    attack["rate_limit"] = json!({"limit": 200, "remaining": 200});
    let story = Story::of(attack, ENFORCE).await;
    // GitHub has shown whose run that is, before the crowd comes.
    tell(&story, [102]).await;
    first_decision(&story, 102).await;

    tell(&story, authors.iter().map(|n| n * 1000 + 1)).await;
    let is_tried = |status: &Value| status["queue"]["ready"] == 0 && status["queue"]["leased"] == 0;
    story.gate.ask_until("/api/v1/status", is_tried).await;
    let remaining = left(&story).await;
    // Runs at first sight may use half of them, and lists of our own runners a few.
    assert!(
        (1..100).contains(&remaining),
        "{remaining} of the 20 that are kept are left"
    );

    tell(&story, [TRUSTED_JOB]).await;
    let path = format!("/api/v1/jobs/{TRUSTED_JOB}");
    let is_trusted = |record: &Value| record["history"][0]["trust"]["verdict"] == "trusted";
    story.gate.ask_until(&path, is_trusted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_over_the_budget_is_parked_and_delays_trusted_jobs_no_longer_than_a_quarantine() {
    let numbers: Vec<u64> = (200..220).collect();
    let pulls = numbers.iter().map(|n| pull_of("mallory", *n, 2990)).collect();
    let runs = numbers.iter().map(|n| run_of(*n, 1)).collect();
    let mut attack = world(pulls, runs, json!([]));
    for (pull, number) in attack["pulls"]
        .as_array_mut()
        .expect("pulls")
        .iter_mut()
        .skip(1)
        .zip(&numbers)
    {
        pull["head"]["branch"] = json!(format!("flood-{number}"));
    }
    let story = Story::of(attack, &[("rollout.mode", "enforce"), ("routing.quarantine_s", "5")]).await;
    tell(&story, numbers.iter().map(|n| n * 1000 + 1)).await;
    let mut parked = 0;
    for number in &numbers {
        let (_, decision) = first_decision(&story, number * 1000 + 1).await;
        if decision["trust"]["reasons"] == json!(["over-budget"]) {
            parked += 1;
            assert_eq!(decision["trust"]["verdict"], "unknown", "{decision}");
            assert_eq!(
                decision["admission"],
                json!({"verdict": "hold", "reasons": ["over-budget"]})
            );
            assert_eq!(decision["actions"], json!(["retry"]), "nothing is done about it now");
        }
    }
    assert!(parked >= 6, "{parked} of {} are parked", numbers.len());
    let files = story.tally().await.calls["pull-files"];
    assert!(files <= 300 + 4 * 30, "{files} calls for files of one person");

    tell(&story, [TRUSTED_JOB]).await;
    let path = format!("/api/v1/jobs/{TRUSTED_JOB}");
    let has_a_runner = |record: &Value| record["runner"]["name"].is_string();
    story.gate.ask_until(&path, has_a_runner).await;
}
