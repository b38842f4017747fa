//! A JIT runner is bound to no job: GitHub can give it to any job with its labels. The job gate stops a thief.

use super::stage::{RUNNER_PROGRAM, Stage, needs, world};
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::interval;

/// A trusted job 701, and an outsider's older one 666 that GitHub gives its runner.
pub(crate) async fn robbed(program: &str, settings: Settings<'_>) -> Stage {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let pulls = json!([
        {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
         "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
        {"number": 7},
    ]);
    let runs = json!([
        {"id": 30, "pull": 8, "jobs": [{"id": 666}]},
        {"id": 20, "pull": 7, "jobs": [{"id": 701}]},
    ]);
    let stage = Stage::set_with(program, world(runs, pulls), settings).await;
    // GitHub tells of the trusted job only, so nothing is in quarantine.
    stage.deliver("queued", 701).await;
    stage
}

/// The thief runs no step, and its victim is served by the next runner.
pub(crate) async fn the_thief_gets_nothing(stage: &Stage) {
    let tally = stage.until_nothing_is_left().await;
    assert!(!tally.jobs[&666].ran, "a step of the thief ran: {tally:?}");
    assert!(tally.jobs[&701].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (2, 1), "one was stolen, and one more made");
    assert_eq!(
        tally.variables["CI_SELF_HOSTED_TRUSTED_ROUTING"], "true",
        "a contained attempt"
    );
    let alerts = stage.gate.alerts().await;
    assert_eq!(alerts, ["stolen-runner", "untrusted-on-self-hosted"]);
    let story = stage.story(701).await.to_string();
    assert!(story.contains("stolen"), "{story}");
}

on_each_store!(a_stolen_runner_executes_no_step_and_its_job_gets_another);

async fn a_stolen_runner_executes_no_step_and_its_job_gets_another(store: Settings<'_>) {
    let mut stage = robbed(RUNNER_PROGRAM, store).await;
    stage.go_on();
    the_thief_gets_nothing(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsider_with_many_jobs_uses_up_few_runners_and_starves_no_trusted_job() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let pulls = json!([
        {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
         "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
        {"number": 7},
    ]);
    let many: Vec<Value> = (661..=665).map(|id| json!({"id": id})).collect();
    let runs = json!([
        {"id": 30, "pull": 8, "jobs": many},
        {"id": 20, "pull": 7, "jobs": [{"id": 701}]},
    ]);
    // Nothing is cancelled in `observe`. Pauses last 1, 2 and 4 s.
    let settings = [
        ("rollout.mode", "observe"),
        ("routing.quarantine_s", "1"),
        ("runners.attempts", "1"),
    ];
    let mut stage = Stage::set(world(runs, pulls), &settings).await;
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&701].ran, "{tally:?}");
    assert_eq!(
        (tally.minted, tally.ran),
        (6, 1),
        "each thief had one runner, the victim the last"
    );
    let runners = stage.gate.ask("/api/v1/runners?all=true").await.body;
    let mut times: Vec<(DateTime<Utc>, DateTime<Utc>)> = runners["runners"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|runner| (entered(runner, "minting"), entered(runner, "ended")))
        .collect();
    times.sort_unstable();
    for (pause_s, theft) in [(1, 2), (2, 3), (4, 4)] {
        let waited = times[theft + 1].0 - times[theft].1;
        assert!(
            waited >= TimeDelta::seconds(pause_s),
            "{waited} after theft {theft}: {runners}"
        );
    }
    let alerts = stage.gate.ask("/api/v1/alerts?state=open").await.body;
    let told = alerts["alerts"].as_array().expect("a list").iter();
    let mut told = told.filter_map(|alert| alert["summary"].as_str());
    let paused = told.find(|summary| summary.contains("stolen in a row"));
    let paused = paused.unwrap_or_else(|| panic!("{alerts}"));
    assert!(paused.starts_with("5 runners of octo-org/chem-model"), "{paused}");
    assert!(paused.contains("no runner is created there for 4 s"), "{paused}");
}

/// When a runner came to a state.
fn entered(runner: &Value, state: &str) -> DateTime<Utc> {
    let mut history = runner["history"].as_array().expect("a list").iter();
    let entered = history.find(|entered| entered["state"] == state);
    let at = entered.unwrap_or_else(|| panic!("{runner} was never {state}"))["at"].as_str();
    at.expect("a time").parse().expect("a time")
}

on_each_store!(a_stolen_runner_is_dead_within_a_second_without_any_event);

/// Nothing that GitHub tells arrives: the gate finds out at the gate.
async fn a_stolen_runner_is_dead_within_a_second_without_any_event(store: Settings<'_>) {
    let stage = robbed(RUNNER_PROGRAM, store).await;
    let ended = |answer: &Value| first_of(answer).is_some_and(|runner| runner["outcome"] == "stolen");
    let answer = stage.gate.ask_until("/api/v1/runners?all=true", ended).await;
    let runner = first_of(&answer).expect("it is listed");
    let slot = runner["slot"].as_str().expect("a slot");
    let mut often = interval(Duration::from_millis(5));
    while stage.leftovers_of(slot) > 0 {
        often.tick().await;
    }
    let dead = SystemClock.now();
    let mut history = runner["history"].as_array().expect("a list").iter();
    let ended = history.find(|entered| entered["state"] == "ended").expect("it ended");
    // What GitHub had answered shortly before.
    let answered: DateTime<Utc> = ended["at"].as_str().expect("a time").parse().expect("a time");
    let took = dead - answered;
    assert!(took < TimeDelta::seconds(1), "something of {slot} lived on for {took}");
    let tally = stage.github.tally().await.expect("a tally");
    assert!(!tally.jobs[&666].ran, "{tally:?}");
}

/// The runner of the first attempt.
fn first_of(answer: &Value) -> Option<&Value> {
    let mut runners = answer["runners"].as_array()?.iter();
    runners.find(|runner| runner["name"].as_str().is_some_and(|name| name.ends_with("-701-1")))
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
    assert_eq!(stage.gate.alerts().await, [""; 0]);
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
