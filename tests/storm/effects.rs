//! The checks after a storm: every delivery that was accepted took effect once, and no work is left.

use crate::deliveries::Storm;
use crate::gate::{Answer, Gate};
use crate::github::{GitHub, pace};
use futures::StreamExt;
use futures::stream::iter;
use jitgate::simulator::Tally;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait is that of a job that lost two runners: its third one starts 128 s after the second one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(160);
/// The number of concurrent requests to the admin API.
const MAX_REQUESTS: usize = 16;

/// Lets GitHub and the processes go on until none of them has work left. A job that lost its runner waits for the next
/// one outside the queue and has none meanwhile, so the trusted jobs have to be over as well.
pub(crate) async fn wait_until_idle(storm: &Storm, github: &GitHub, gate: &Gate) {
    let is_over = |tally: &Tally, job: &u64| tally.jobs[job].status == "completed";
    let waiting = async {
        let mut pace = pace(100);
        loop {
            pace.tick().await;
            let is_quiet = github.go_on().await;
            let queue = &gate.ask("/api/v1/status").await.body["queue"];
            let nothing_left = ["ready", "delayed", "leased"].iter().all(|state| queue[state] == 0);
            let tally = github.client.tally().await.expect("a tally");
            let all_over = storm.pool.iter().all(|job| is_over(&tally, job));
            if is_quiet && nothing_left && tally.runners_left == 0 && all_over {
                return;
            }
        }
    };
    if timeout(IDLE_TIMEOUT, waiting).await.is_err() {
        let status = gate.ask("/api/v1/status").await.body;
        let left = gate.ask("/api/v1/deliveries?state=queued,leased&limit=20").await.body;
        let tally = github.client.tally().await.expect("a tally");
        let mut jobs = Vec::new();
        for job in storm.pool.iter().filter(|job| !is_over(&tally, job)) {
            jobs.push(gate.ask(&format!("/api/v1/jobs/{job}")).await.body);
        }
        let runners = tally.runners_left;
        panic!("work is left: {status}\n{left}\n{runners} runners\njobs: {jobs:#?}");
    }
}

/// Compares the ledger and GitHub with the deliveries.
pub(crate) async fn verify_effects(storm: &Storm, github: &GitHub, gate: &Gate) {
    let queue = gate.ask("/api/v1/status").await.body["queue"].clone();
    let dead = gate.ask("/api/v1/deliveries?state=dead").await.body;
    assert_eq!(queue["dead"], 0, "no delivery is given up: {dead}");

    let mut guids = storm.guids_by_job();
    for (job, told) in github.told() {
        guids.entry(job).or_default().extend(told);
    }
    let asked = iter(&guids).map(|(job, guids)| async move {
        let answer = gate.ask(&format!("/api/v1/jobs/{job}")).await;
        of_one_job(*job, guids, &answer);
    });
    asked.buffer_unordered(MAX_REQUESTS).collect::<Vec<()>>().await;
    let all: BTreeSet<&String> = guids.values().flatten().collect();
    let taken = github.taken();
    let unknown: Vec<_> = taken.iter().filter(|guid| !all.contains(guid)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let tally = github.client.tally().await.expect("a tally");
    for job in &storm.pool {
        let found = &tally.jobs[job];
        assert_eq!(found.status, "completed", "job {job}: {found:?}");
        let runner = found.runner.as_deref().unwrap_or_default();
        assert!(runner.contains(&format!("-{job}-")), "job {job} ran on {runner:?}");
    }
    let served: BTreeMap<_, _> = tally.jobs.iter().filter(|(_, job)| job.runner.is_some()).collect();
    assert_eq!(served.len(), storm.pool.len(), "runners for other jobs: {served:?}");
    println!(
        "{} GUIDs, {} answered 202, {} attempts to send, {} jobs; {} runners made for {} jobs, {} of which ran to the end",
        all.len(),
        taken.len(),
        *github.sent.borrow(),
        guids.len(),
        tally.minted,
        storm.pool.len(),
        tally.ran,
    );
}

/// Checks that every delivery about the job is done and has one decision.
fn of_one_job(job: u64, guids: &BTreeSet<String>, answer: &Answer) {
    assert_eq!(answer.status, 200, "job {job}: {}", answer.body);
    let history = answer.body["history"].as_array().expect("a history");
    // Decisions at the job gate belong to no delivery. A synthesized event (`poll-`) is one that a worker found by asking
    // GitHub, because the delivery was late.
    let is_sent = |id: &str| !id.starts_with("gate-") && !id.starts_with("poll-");
    let of_a_delivery = |chapter: &&Value| chapter["delivery"].as_str().is_some_and(is_sent);
    let history: Vec<&Value> = history.iter().filter(of_a_delivery).collect();
    assert_eq!(answer.body["undecided"], Value::Array(Vec::new()), "job {job}");
    let mut decided: Vec<&str> = history
        .iter()
        .filter_map(|chapter| chapter["delivery"].as_str())
        .collect();
    decided.sort_unstable();
    let wanted: Vec<&str> = guids.iter().map(String::as_str).collect();
    if answer.body["is_shrunk"] == true {
        // The ledger keeps only the newest decisions of an outsider's completed job.

        assert!(decided.len() >= wanted.len().min(4), "job {job}: {decided:?}");
        assert!(
            decided.iter().all(|guid| wanted.contains(guid)),
            "job {job}: {decided:?}"
        );
    } else {
        assert_eq!(decided, wanted, "job {job}");
    }
    for chapter in history {
        assert_eq!(chapter["queue"]["state"], "done", "job {job}: {chapter}");
        assert_eq!(chapter["pending"], Value::Array(Vec::new()), "job {job}: {chapter}");
    }
}
