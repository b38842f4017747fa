//! `pool reconcile`: one pass for a timer. The jobs that it started go on without it.

use super::stage::{Stage, each};
use crate::runners::stage::{RUNNER_PROGRAM, needs};
use crate::support::command::Answer;
use crate::support::gate::{Process, TIMEOUT};
use crate::support::in_process::{SECRET, configuration, token};
use crate::support::payload::guid;
use crate::support::receiver::Receiver;
use jitgate::adapters::clock::SystemClock;
use jitgate::app::records::{self, InstanceRecord};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Tally};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
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

/// An ingress takes the delivery about a job, and ends.
async fn take_delivery(stage: Stage, job: u64) -> Stage {
    let (mut gate, rest) = stage.serve(&["--role", "ingress"]).await;
    let payload = rest.github.render("workflow_job", "queued", job, None).await;
    let payload = payload.expect("a payload").to_string();
    let answer = gate.deliver("workflow_job", &guid(1), payload).await;
    assert_eq!(answer.status, 202);
    gate.process.terminate();
    assert_eq!(gate.process.code().await, Some(0));
    rest.with(gate.killed())
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

    let stage = take_delivery(stage, 101).await;
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
async fn a_pass_serves_a_job_whose_delivery_is_lost() {
    let stage = Stage::set(&[]).await;
    let jobs = json!([{"id": 101, "duration_s": 3600, "created_at": "now-60s"}]);
    let lost = json!({"announces": false, "runs": [{"id": 20, "pull": 7, "jobs": jobs}]});
    stage.github.apply(&lost).await.expect("a run");
    pass(&stage).await;
    assert_eq!(tally(&stage).await.minted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_rolls_back_and_reports_it() {
    let receiver = Receiver::start().await;
    let stage = Stage::set(&[
        ("alerts.webhook_url", receiver.url.as_str()),
        ("alerts.webhook_secret", "what the gate and the receiver share"),
        ("rollout.boot_failures", "1"),
        ("runners.attempts", "1"),
        ("synthetic.dying_starts", "1"),
        ("server.admin_listen", "127.0.0.1:0"),
    ])
    .await;
    let run = json!({"runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101}]}]});
    stage.github.apply(&run).await.expect("a run");
    let stage = take_delivery(stage, 101).await;
    pass(&stage).await;
    assert_eq!(
        tally(&stage).await.variables["CI_SELF_HOSTED_TRUSTED_ROUTING"],
        "false",
        "{}",
        stage.run(&["rollout", "status"]).await.out
    );
    let told = receiver.until(|it| it.json()["alert"]["kind"] == "rollback").await;
    assert!(told.was_taken());
    let incidents = stage.run(&["incident", "list", "--json"]).await.json();
    assert_eq!(
        each(&incidents, "alert").len(),
        1,
        "the alert is an incident: {incidents:#}"
    );
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
    // Another machine with a copy of the state directory can use the instance name at once.
    let claims: Vec<InstanceRecord> = records::all(store(&stage).ledger.as_ref()).await.expect("an answer");
    assert_eq!(claims, []);
}

/// Opens the store beside the processes that use it.
fn store(stage: &Stage) -> Store {
    let mut settings = stage.settings.iter();
    let (_, url) = settings.find(|(key, _)| key == "store.url").expect("a store");
    let settings = json!({"webhook": {"secrets": [SECRET]}, "store": {"url": url}});
    runtime::open_store_beside(&configuration(&settings, token()), Arc::new(SystemClock)).expect("a store")
}

/// Starts a pass whose slot boots for longer than the test takes.
async fn unsettled_pass(stage: &Stage) -> Process {
    // An empty pass makes the store, which the other commands do not.
    let empty = stage.run(&["pool", "reconcile", "--min", "0", "--max", "0"]).await;
    assert_eq!(empty.code, 0, "{}", empty.err);
    let pass = stage.start(&["pool", "reconcile", "--min", "1", "--max", "1"]);
    stage
        .status_until(|status| each(&status["slots"], "state") == ["booting"])
        .await;
    pass
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_cannot_settle_ends_early_on_request() {
    let stage = Stage::set(&[("synthetic.boot_s", "3600")]).await;
    let mut pass = unsettled_pass(&stage).await;
    pass.terminate();
    assert_eq!(pass.code().await, Some(1), "{}", pass.err.text());
    assert!(pass.out.text().contains("stopped early"), "{}", pass.out.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_ends_if_another_machine_takes_its_instance_name() {
    let stage = Stage::set(&[("synthetic.boot_s", "3600")]).await;
    let mut pass = unsettled_pass(&stage).await;
    let (store, name) = (store(&stage), stage.place.instance());
    let taken = records::change(store.ledger.as_ref(), &name, TIMEOUT, |claim: &mut InstanceRecord| {
        claim.place = "another machine".to_owned();
        claim.process = "another process".to_owned();
        claim.beat += 1;
    });
    assert_eq!(taken.await.expect("an answer"), Some(()));
    assert_eq!(pass.code().await, Some(7), "{}", pass.err.text());
}
