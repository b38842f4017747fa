//! A gate that was killed finds after its start what GitHub could not deliver: as a real process, on each store.

use crate::support::gate::{CONFIGURATION, Gate, Place, Settings, TIMEOUT, often};
use crate::support::scripted::KEY;
use crate::support::stores::on_each_store;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

const POOL_JOBS: u64 = 20;
const HOSTED_JOBS: u64 = 40;
const MISSED: u64 = POOL_JOBS + HOSTED_JOBS;

fn runs() -> Value {
    let pool = (0..POOL_JOBS).map(|n| json!({"id": 1000 + n, "created_at": "now-60s"}));
    let hosted = (0..HOSTED_JOBS)
        .map(|n| json!({"id": 2000 + n, "name": "changes", "labels": ["ubuntu-latest"], "created_at": "now-60s"}));
    json!([{"id": 20, "pull": 7, "jobs": pool.chain(hosted).collect::<Vec<_>>()}])
}

/// A place with the credentials of an App.
fn place() -> Place {
    let place = Place::new();
    let app = "app_id = 1\nprivate_key_file = \"app.pem\"";
    let text = CONFIGURATION
        .replace("token_file = \"github-token\"", app)
        .replace("[store]\nurl = \"memory:\"\n", "");
    place.file("jitgate.toml", &text, 0o600);
    place.file("app.pem", &KEY.private_pem, 0o600);
    place
}

async fn what_arrived_during_an_outage_is_caught_up(store: Settings<'_>, faults: Value) {
    let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
    let github = Client::new(simulator.url(), reqwest::Client::new());
    let change = async |change: Value| github.apply(&change).await.expect("a valid change");
    change(json!({
        "pulls": [{"number": 7, "author": "alice"}],
        "permissions": {"alice": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
    }))
    .await;
    let settings = [&[("runners.max", "10")], store].concat();
    let place = Gate::start_in(place(), simulator.url(), &settings, &[]).await.killed();
    change(json!({"delivers": false, "announces": true, "runs": runs()})).await;
    change(json!({"delivers": true, "faults": faults})).await;
    let gate = Gate::start_in(place, simulator.url(), &settings, &[]).await;
    let deadline = Instant::now() + TIMEOUT;
    let mut often = often();
    let tally = loop {
        often.tick().await;
        for delivery in github.outbox().await.expect("deliveries") {
            let body = delivery.payload.to_string();
            assert_eq!(gate.deliver(&delivery.event, &delivery.guid, body).await.status, 202);
        }
        github.settle().await.expect("settled");
        let tally = github.tally().await.expect("a tally");
        let asked = tally.calls.get("redeliver").copied().unwrap_or_default();
        if tally.ran == POOL_JOBS && asked == MISSED && tally.runners_left == 0 {
            break tally;
        }
        assert!(
            Instant::now() < deadline,
            "{} ran, {asked} asked: {}",
            tally.ran,
            gate.process.err.text()
        );
    };
    let runners = gate.ask("/api/v1/runners?all=true&limit=1000").await.body;
    assert_eq!(tally.minted, POOL_JOBS, "{runners:#}");
    let github_at = [&[("github.api_url", simulator.url())], &settings[..]].concat();
    let mut command = gate.place.start(&["delivery", "recover", "--json"], &github_at);
    assert_eq!(command.code().await, Some(0), "{}", command.err.text());
    let report: Value = serde_json::from_str(&command.out.text()).expect("JSON");
    assert_eq!(
        (&report["log"]["missed"], &report["log"]["asked"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(github.tally().await.expect("a tally").calls["redeliver"], MISSED);
}

on_each_store!(what_arrived_during_an_outage_is_caught_up:
    at_once = json!([]);
    after_failures_of_github = json!([{"endpoint": "deliveries", "status": 503, "times": 3}]);
);
