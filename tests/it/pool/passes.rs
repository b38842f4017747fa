//! `pool reconcile`: one pass for a timer. The jobs that it started go on without it.

use super::stage::{Stage, each};
use crate::runners::stage::{RUNNER_PROGRAM, needs};
use crate::support::command::Answer;
use crate::support::payload::guid;
use jitgate::simulator::{Client, Tally};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// A GitHub that goes on by itself until it is dropped.
struct Goes(JoinHandle<()>);

impl Goes {
    fn on(github: &Client) -> Self {
        let github = github.clone();
        Self(tokio::spawn(async move {
            let mut often = interval(Duration::from_millis(20));
            while github.settle().await.is_ok() {
                often.tick().await;
            }
        }))
    }
}

impl Drop for Goes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pass(stage: &Stage) -> Value {
    let answer: Answer = stage
        .run(&["pool", "reconcile", "--json", "--min", "1", "--max", "2"])
        .await;
    answer.json()
}

async fn tally(stage: &Stage) -> Tally {
    stage.github.tally().await.expect("a tally")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_pass_started_goes_on_without_it() {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let mut stage = Stage::set(&[("runners.host", "local")]).await;
    for name in ["run.sh", "bin/Runner.Worker"] {
        stage.place.file(&format!("runner-home/{name}"), RUNNER_PROGRAM, 0o755);
    }
    let home = stage.place.path("runner-home").display().to_string();
    let is_root = fs::metadata("/proc/self").expect("ourselves").uid() == 0;
    let mut more = vec![
        ("local.runner_home", home.as_str()),
        ("local.public_repositories", "true"),
        ("local.network", "host"),
        ("server.admin_listen", "127.0.0.1:0"),
    ];
    more.extend(is_root.then_some(("local.user", "root")));
    stage
        .settings
        .extend(more.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    let run = json!({"runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101, "name": "web", "duration_s": 3600}]}]});
    stage.github.apply(&run).await.expect("a run");

    // An ingress takes the delivery and ends.
    let (mut gate, rest) = stage.serve(&["--role", "ingress"]).await;
    let payload = rest
        .github
        .render("workflow_job", "queued", 101, None)
        .await
        .expect("a payload");
    let answer = gate.deliver("workflow_job", &guid(1), payload.to_string()).await;
    assert_eq!(answer.status, 202);
    gate.process.terminate();
    assert_eq!(gate.process.code().await, Some(0));
    let stage = rest.with(gate.killed());

    let goes = Goes::on(&stage.github);
    let first = pass(&stage).await;
    assert_eq!(first["result"], "settled", "{first:#}");
    assert_eq!(each(&first["runners"], "state"), ["running"], "{first:#}");
    let slots = first["slots"].as_array().expect("slots");
    let states: Vec<(&Value, &Value)> = slots.iter().map(|slot| (&slot["state"], &slot["busy"])).collect();
    assert_eq!(
        states,
        [(&json!("open"), &json!(true)), (&json!("ready"), &json!(false))],
        "{first:#}"
    );
    assert_eq!(tally(&stage).await.jobs[&101].status, "in_progress");
    let slot = slots[0]["slot"].clone();

    // Another pass finds everything as it should be.
    let second = pass(&stage).await;
    assert_eq!(each(&second["slots"], "slot"), each(&first["slots"], "slot"));
    assert_eq!(each(&second["runners"], "state"), ["running"], "{second:#}");

    let over = json!({"runs": [{"id": 20, "jobs": [{"id": 101, "duration_s": 0}]}]});
    stage.github.apply(&over).await.expect("a change");
    loop {
        let later = pass(&stage).await;
        if later["runners"] == json!([]) {
            assert!(
                !each(&later["slots"], "slot").contains(&&slot),
                "a slot is used once: {later:#}"
            );
            assert_eq!(each(&later["slots"], "state"), ["ready", "ready"], "{later:#}");
            break;
        }
    }
    let tally = tally(&stage).await;
    assert_eq!(
        (tally.jobs[&101].status.as_str(), tally.jobs[&101].ran),
        ("completed", true)
    );
    assert_eq!(tally.runners_left, 0);
    drop(goes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_without_work_ends_soon_and_shows_the_pool() {
    let stage = Stage::set(&[]).await;
    let answer = stage.run(&["pool", "reconcile", "--min", "1", "--max", "3"]).await;
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.out.contains("nothing more can be done now"), "{}", answer.out);
    assert!(
        answer.out.contains("home-self-host-3  -     ready  idle"),
        "{}",
        answer.out
    );
}
