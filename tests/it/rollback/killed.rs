//! `jitgate serve` is killed with SIGKILL in the middle of a rollback, while GitHub's answer is on its way.

use super::stage::VARIABLE;
use crate::support::gate::{Gate, Place, TIMEOUT, often};
use crate::support::payload::guid;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator, Tally};
use serde_json::json;
use std::sync::Arc;
use tokio::time::Instant;

async fn until(github: &Client, what: &str, wanted: impl Fn(&Tally) -> bool) -> Tally {
    let deadline = Instant::now() + TIMEOUT;
    let mut often = often();
    loop {
        often.tick().await;
        let tally = github.tally().await.expect("a tally");
        if wanted(&tally) {
            return tally;
        }
        assert!(Instant::now() < deadline, "{what}: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_ends_its_rollback_after_the_restart() {
    for endpoint in ["set-variable", "cancel", "rerun"] {
        let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let github = Client::new(simulator.url(), reqwest::Client::new());
        let world = json!({
            "pulls": [{"number": 7}, {"number": 9}],
            "runs": [
                {"id": 20, "pull": 7, "jobs": [{"id": 101}]},
                {"id": 40, "pull": 9, "jobs": [{"id": 401, "labels": ["ubuntu-latest"]}]},
            ],
            "permissions": {"alice": "write"},
            "variables": {VARIABLE: "true"},
            "faults": [{"endpoint": endpoint, "delay_s": 20}],
        });
        github.apply(&world).await.expect("a world");
        let place = Place::new();
        let database = format!("sqlite:{}", place.path("jitgate.db").display());
        let settings = [
            ("store.url", database.as_str()),
            ("rollout.mode", "enforce"),
            ("runners.min", "0"),
            ("synthetic.boot_s", "3600"),
        ];
        let gate = Gate::start_in(place, simulator.url(), &settings, &[]).await;
        for (number, job) in [101, 401].into_iter().enumerate() {
            let payload = github
                .render("workflow_job", "queued", job, None)
                .await
                .expect("a payload");
            let taken = gate.deliver("workflow_job", &guid(number), payload.to_string()).await;
            assert_eq!(taken.status, 202);
            gate.ask_until(&format!("/api/v1/jobs/{job}"), |record| record["history"].is_array())
                .await;
        }
        let settling = tokio::spawn({
            let github = github.clone();
            async move {
                let mut often = often();
                while github.settle().await.is_ok() {
                    often.tick().await;
                }
            }
        });
        until(&github, endpoint, |tally| {
            tally.calls.get(endpoint).is_some_and(|calls| *calls > 0)
        })
        .await;
        let place = gate.killed();
        let gate = Gate::start_in(place, simulator.url(), &settings, &[]).await;
        let is_done = |tally: &Tally| tally.variables[VARIABLE] == "false" && !tally.reruns.is_empty();
        until(&github, endpoint, is_done).await;
        let is_over = |alerts: &serde_json::Value| alerts["alerts"].to_string().contains("\"rollback\"");
        gate.ask_until("/api/v1/alerts", is_over).await;
        let tally = github.tally().await.expect("a tally");
        assert_eq!(tally.reruns, [20], "{endpoint}");
        assert_eq!(tally.variables[VARIABLE], "false", "{endpoint}");
        settling.abort();
    }
}
