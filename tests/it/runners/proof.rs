//! The proof of the tear-down: each step of a runner with its time, or with the reason why it is missing.

use super::stage::{Stage, needs, world};
use crate::support::in_process::{InProcess, decide_and_serve, token};
use chrono::{DateTime, Utc};
use jitgate::adapters::clock::SystemClock;
use jitgate::app::records::{self, RunnerRecord};
use jitgate::domain::proof::Step;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

/// The steps, in the order of the life of a runner.
const STEPS: [&str; 10] = [
    "made",
    "booted",
    "claimed",
    "online",
    "gated",
    "started",
    "ended",
    "destroyed",
    "disk_gone",
    "record_gone",
];

async fn stage_with(program: Option<&str>, duration_s: u64) -> Stage {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "duration_s": duration_s}]});
    let world = world(json!([run]), json!([{"number": 7}]));
    let mut stage = match program {
        Some(program) => Stage::set_with(program, world, &[]).await,
        None => Stage::set(world, &[]).await,
    };
    stage.deliver("queued", 101).await;
    stage.go_on();
    stage
}

/// The times of the steps of a proof, in the order in which they are shown.
fn times(steps: &Value) -> Vec<(String, DateTime<Utc>)> {
    let steps = steps.as_array().expect("a list").iter();
    let timed = steps.filter_map(|step| {
        let at = step["at"].as_str()?.parse().expect("a time");
        assert_eq!(step["missing"], Value::Null, "{step}");
        Some((step["step"].as_str().expect("a name").to_owned(), at))
    });
    timed.collect()
}

/// The reasons of the missing steps of a proof.
fn reasons(steps: &Value) -> BTreeMap<String, String> {
    let steps = steps.as_array().expect("a list").iter();
    let missing = steps.filter(|step| step["at"] == Value::Null);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    missing
        .map(|step| (text(&step["step"]), text(&step["missing"])))
        .collect()
}

/// Returns true once nothing is left of the first runner of a story.
fn is_proven(story: &Value) -> bool {
    story["proofs"][0]["steps"].as_array().is_some_and(|steps| {
        steps
            .iter()
            .any(|step| step["step"] == "record_gone" && step["at"].is_string())
    })
}

fn assert_is_whole(steps: &Value) -> BTreeMap<String, DateTime<Utc>> {
    let times = times(steps);
    let mut names: Vec<&str> = times.iter().map(|(step, _)| step.as_str()).collect();
    assert!(times.is_sorted_by_key(|(_, at)| *at), "{steps:#}");
    let expected = |place: &str| STEPS.iter().position(|step| *step == place);
    names.sort_by_key(|step| expected(step));
    assert_eq!(names, STEPS, "{steps:#}");
    let by_step: BTreeMap<String, DateTime<Utc>> = times.into_iter().collect();
    // GitHub can show the job on its runner after the job has called the gate, but before the gate opens.
    let certain: Vec<_> = STEPS.iter().filter(|step| **step != "online").collect();
    assert!(certain.is_sorted_by_key(|step| by_step[**step]), "{steps:#}");
    assert!(
        by_step["claimed"] <= by_step["online"] && by_step["online"] <= by_step["started"],
        "{steps:#}"
    );
    by_step
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_job_has_every_step_with_its_time() {
    let stage = stage_with(None, 0).await;
    let story = stage.gate.ask_until("/api/v1/jobs/101", is_proven).await;
    let proof = &story["proofs"][0];
    assert_eq!(proof["runner"], story["runner"]["name"]);
    assert_is_whole(&proof["steps"]);
    let listed = stage.gate.ask("/api/v1/runners?all=true").await.body;
    let mut runners = listed["runners"].as_array().expect("a list").iter();
    let listed = runners.find(|runner| runner["name"] == proof["runner"]);
    assert_eq!(listed.expect("the runner")["proof"], proof["steps"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_reaches_its_gate_says_why_steps_are_missing() {
    let stage = stage_with(Some("#!/bin/bash\nexit 1\n"), 0).await;
    let story = stage.gate.ask_until("/api/v1/jobs/101", is_proven).await;
    let steps = &story["proofs"][0]["steps"];
    let reasons = reasons(steps);
    let missing: Vec<&str> = reasons.keys().map(String::as_str).collect();
    assert_eq!(missing, ["gated", "online", "started"], "{steps:#}");
    assert_eq!(reasons["gated"], "no job reached the gate: died");
    assert_eq!(reasons["online"], "GitHub did not show the runner as online: died");
    assert_eq!(reasons["started"], "the gate did not open: died");
    let times = times(steps);
    assert!(times.is_sorted_by_key(|(_, at)| *at), "{steps:#}");
    assert_eq!(times.len(), STEPS.len() - reasons.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_completes_the_proof_of_a_runner_that_had_ended() {
    let stage = stage_with(None, 3600).await;
    let runs = |story: &Value| {
        let steps = &story["proofs"][0]["steps"];
        story["runner"]["state"] == "running"
            && steps.is_array()
            && times(steps).iter().any(|(step, _)| step == "started")
    };
    let story = stage.gate.ask_until("/api/v1/jobs/101", runs).await;
    let slot = story["runner"]["slot"].as_str().expect("a slot").to_owned();
    // A keeper that is stopped does not end by itself, so the removal of its slot takes seconds.
    for keeper in keepers_of(&stage, &slot) {
        let stopped = Command::new("kill").args(["-STOP", &keeper]).status();
        assert!(stopped.expect("kill").success());
    }
    let over = json!({"id": 101, "status": "completed", "conclusion": "success"});
    let over = json!({"runs": [{"id": 20, "jobs": [over]}]});
    stage.github.apply(&over).await.expect("a change");
    stage.deliver("completed", 101).await;
    let has_ended = |story: &Value| story["runner"]["state"] == "ended";
    let story = stage.gate.ask_until("/api/v1/jobs/101", has_ended).await;
    let before: BTreeMap<_, _> = times(&story["proofs"][0]["steps"]).into_iter().collect();
    assert!(
        before.contains_key("ended") && !before.contains_key("destroyed"),
        "{before:?}"
    );
    let waits = &reasons(&story["proofs"][0]["steps"])["destroyed"];
    assert_eq!(waits, "the slot is not destroyed yet");

    let killed = SystemClock.now();
    let stage = stage.kill_and_restart().await;
    let story = stage.gate.ask_until("/api/v1/jobs/101", is_proven).await;
    let after = assert_is_whole(&story["proofs"][0]["steps"]);
    for (step, at) in &before {
        assert_eq!(after.get(step), Some(at), "{step} is as the first worker saw it");
    }
    assert!(after["ended"] < killed && killed < after["destroyed"], "{after:?}");
}

/// The keepers of a slot, by their process ids.
fn keepers_of(stage: &Stage, slot: &str) -> Vec<String> {
    let all = stage.leftovers().into_iter();
    let found: Vec<String> = all
        .filter(|line| line.contains("internal keep") && line.contains(slot))
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(found.len(), 1, "one keeper: {found:?}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_online_once_github_lists_its_own_id_so() {
    let mut stage = InProcess::with(token(), &json!({"synthetic": {"start_s": 3600}}));
    let gate = stage.gate("gate0001");
    stage.open_ingress(&gate);
    stage
        .world(world(
            json!([{"id": 20, "pull": 7, "jobs": [{"id": 101}]}]),
            json!([{"number": 7}]),
        ))
        .await;
    stage.deliver("queued-101", "queued", 101).await;
    for _ in 0..5 {
        decide_and_serve(&gate).await;
        stage.advance(1);
    }
    let runner = async || {
        let runners: Vec<RunnerRecord> = records::all(stage.store.ledger.as_ref())
            .await
            .expect("the store answers");
        runners.into_iter().next().expect("a runner")
    };
    let made = runner().await;
    let (name, id) = (made.name.as_str(), made.id.expect("an id").0);
    let listed = async |id: u64| {
        stage
            .world(json!({"runners": [{"id": id, "name": name, "status": "online"}]}))
            .await;
        stage.advance(20);
        decide_and_serve(&gate).await;
        let proof = runner().await.proof().into_iter();
        proof.filter(|step| step.step == Step::Online).find_map(|step| step.at)
    };
    assert_eq!(listed(900).await, None, "anyone can use its name");
    assert_eq!(listed(id).await, Some(stage.now()));
}
