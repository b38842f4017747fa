//! What belongs to nothing is removed, and what belongs to others is not touched.

use super::stage::{Stage, needs, world};
use crate::support::redis::{DURABLE, Server};
use jitgate::simulator::Tally;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_ours_that_nothing_knows_goes_and_those_of_others_stay() {
    needs("bwrap", "bubblewrap");
    let stage = Stage::set(world(json!([]), json!([])), &[]).await;
    let instance = stage.gate.ask("/api/v1/status").await.body["instance"].clone();
    let ours = format!("chem-jit-{}-101-1", instance.as_str().expect("a name"));
    // Left by a request whose answer came after we had stopped to look for it.
    let runners = json!([
        {"id": 901, "name": ours, "status": "offline"},
        {"id": 902, "name": "chem-jit-otherone-101-1", "status": "offline"},
        {"id": 903, "name": "home-self-host", "labels": ["self-hosted"]},
        {"id": 904, "name": "chem-jit", "status": "offline"},
        {"id": 905, "name": format!("{}mybox", ours.trim_end_matches("101-1")), "status": "offline"},
    ]);
    stage.github.apply(&json!({"runners": runners})).await.expect("runners");
    let stage = stage.kill_and_restart().await;
    stage
        .until("at start it goes", |tally| tally.calls.contains_key("delete-runner"))
        .await;
    // And without a start, at the next pass.
    let later = ours.replace("101-1", "102-1");
    let runners = json!([{"id": 906, "name": later, "status": "offline"}]);
    stage.github.apply(&json!({"runners": runners})).await.expect("runners");
    let goes = stage.until("then the later one", |tally| tally.calls["delete-runner"] > 1);
    let passes_come_each_second = std::time::Duration::from_secs(20);
    tokio::time::timeout(passes_come_each_second, goes)
        .await
        .expect("it goes at the next pass");
    let passes = |tally: &Tally| tally.calls["list-runners"];
    let before = passes(&stage.github.tally().await.expect("a tally"));
    let tally = stage
        .until("more passes come", |tally| passes(tally) > before + 1)
        .await;
    assert_eq!(tally.calls["delete-runner"], 2, "only what is ours and known to nobody");
    let said = stage.gate.process.err.text();
    assert!(said.contains(&ours) && said.contains(&later), "{said}");
    for others in ["chem-jit-otherone", "home-self-host"] {
        assert!(!said.contains(&format!("removing unknown runner {others}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_that_nobody_knows_are_told_of_and_none_is_removed() {
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "duration_s": 3600}]});
    let settings = [("runners.host", "synthetic"), ("runners.known", "builder,deploy-*")];
    let stage = Stage::set(world(json!([run]), json!([{"number": 7}])), &settings).await;
    stage.deliver("queued", 101).await;
    let starts = |story: &serde_json::Value| story["runner"]["id"].is_u64();
    let story = stage.gate.ask_until("/api/v1/jobs/101", starts).await;
    let ours = story["runner"]["name"].as_str().expect("a name").to_owned();
    let shouted = ours.to_uppercase().replace("-101-", "-109-");
    let runners = json!([
        {"id": 901, "name": "home-self-host", "labels": ["gpu"], "status": "offline"},
        {"id": 902, "name": "builder", "labels": ["self-hosted"]},
        {"id": 903, "name": "deploy-7", "labels": ["deploy"]},
        {"id": 904, "name": "Deploy-8", "labels": ["self-hosted"]},
        {"id": 905, "name": shouted, "labels": ["x64"]},
        {"id": 906, "name": "chem-jit-otherone-101-1", "labels": ["x64"]},
    ]);
    stage.github.apply(&json!({"runners": runners})).await.expect("runners");
    let told = |wanted: String| {
        move |body: &serde_json::Value| {
            let mut alerts = body["alerts"].as_array().expect("a list").iter();
            let ungated = alerts.find(|alert| alert["kind"] == "ungated-runner");
            ungated.is_some_and(|alert| alert["summary"] == wanted.as_str())
        }
    };
    let mut named = [
        shouted.as_str(),
        "Deploy-8",
        "chem-jit-otherone-101-1",
        "home-self-host",
    ];
    named.sort_unstable();
    let all = format!(
        "4 self-hosted runners of octo-org/chem-model are neither jitgate's nor listed as known: {}",
        named.join(", ")
    );
    let body = stage.gate.ask_until("/api/v1/alerts?state=open", told(all)).await;
    assert!(!body.to_string().contains(&ours), "it is jitgate's: {body}");
    // One of them goes, and is told of no more; then the others.
    let gone =
        |ids: &[u64]| json!({"runners": ids.iter().map(|id| json!({"id": id, "deleted": true})).collect::<Vec<_>>()});
    stage.github.apply(&gone(&[904, 905, 906])).await.expect("a change");
    let one = "1 self-hosted runner of octo-org/chem-model is neither jitgate's nor listed as known: home-self-host";
    stage
        .gate
        .ask_until("/api/v1/alerts?state=open", told(one.to_owned()))
        .await;
    // Anyone can use a name. The id distinguishes the runner from jitgate's own.
    let namesake = json!([{"id": 907, "name": ours, "labels": ["x64"], "status": "offline"}]);
    stage
        .github
        .apply(&json!({"runners": namesake}))
        .await
        .expect("a change");
    let two = format!(
        "2 self-hosted runners of octo-org/chem-model are neither jitgate's nor listed as known: {ours}, home-self-host"
    );
    stage.gate.ask_until("/api/v1/alerts?state=open", told(two)).await;
    stage.github.apply(&gone(&[907])).await.expect("a change");
    stage
        .gate
        .ask_until("/api/v1/alerts?state=open", told(one.to_owned()))
        .await;
    stage.github.apply(&gone(&[901])).await.expect("a change");
    stage
        .gate
        .ask_until("/api/v1/alerts?state=resolved", told(one.to_owned()))
        .await;
    let tally = stage.github.tally().await.expect("a tally");
    assert_eq!(tally.calls.get("delete-runner"), None, "none is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_that_a_ledger_does_not_know_are_removed() {
    needs("bwrap", "bubblewrap");
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101, "duration_s": 3600}]});
    let mut stage = Stage::set(world(json!([run]), json!([{"number": 7}])), &[]).await;
    stage.deliver("queued", 101).await;
    stage.go_on();
    let runs = |story: &serde_json::Value| story["runner"]["state"] == "running";
    let story = stage.gate.ask_until("/api/v1/jobs/101", runs).await;
    let slot = story["runner"]["slot"].as_str().expect("a slot").to_owned();
    assert!(stage.leftovers_of(&slot) > 0);
    // The ledger is lost while the job runs.
    let stage = stage.killed_and_restarted_with(&[("store.url", "memory:")]).await;
    let deadline = tokio::time::Instant::now() + crate::support::gate::PATIENCE;
    let mut often = tokio::time::interval(std::time::Duration::from_millis(20));
    while stage.leftovers_of(&slot) > 0 {
        often.tick().await;
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            stage.gate.process.err.text()
        );
    }
    let tally = stage.until("its record goes", |tally| tally.runners_left == 0).await;
    assert!(!tally.jobs[&101].ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_never_comes_back_keeps_no_job_waiting() {
    let server = Server::start(DURABLE);
    let url = format!("redis://{}", server.address());
    let run = json!({"id": 20, "pull": 7, "jobs": [{"id": 101}]});
    let settings = [
        ("store.url", url.as_str()),
        ("runners.host", "synthetic"),
        ("synthetic.start_s", "3600"),
    ];
    let stage = Stage::set(world(json!([run]), json!([{"number": 7}])), &settings).await;
    stage.deliver("queued", 101).await;
    let starts = |story: &serde_json::Value| story["runner"]["state"] == "booting";
    let story = stage.gate.ask_until("/api/v1/jobs/101", starts).await;
    let lost = story["runner"]["name"].as_str().expect("a name").to_owned();
    // Another machine, with a name of its own and the same Redis.
    let settings = [
        ("synthetic.start_s", "0"),
        ("runners.boot_deadline_s", "1"),
        ("runners.gate_deadline_s", "1"),
    ];
    let mut stage = stage.moved(&settings).await;
    stage.go_on();
    let tally = stage.until("the job is served", |tally| tally.jobs[&101].ran).await;
    let served_by = tally.jobs[&101].runner.clone().expect("a runner");
    assert_ne!(served_by, lost);
    let is_over = |story: &serde_json::Value| story["service"] == "closed" && story["runner"]["state"] == "destroyed";
    stage.gate.ask_until("/api/v1/jobs/101", is_over).await;
    let tally = stage.github.tally().await.expect("a tally");
    assert_eq!(
        (tally.minted, tally.runners_left),
        (2, 1),
        "the other's record is not ours to remove"
    );
}
