//! A state directory that was copied with its disk: a snapshot, the image of a machine. Its copies share a store with the
//! worker it was copied from, and must not take that one's runners for their own.

use super::outage::Hanging;
use crate::support::gate::{Gate, Place, Process, Settings};
use crate::support::redis::{DURABLE, Server};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const WORKER: &[&str] = &["--role", "worker"];

/// A place with a copy of another one's instance name.
fn copy_of(original: &Place) -> Place {
    let copy = Place::new();
    fs::create_dir(copy.path("jitgate-state")).expect("a directory");
    let instance = |place: &Place| place.path("jitgate-state/instance");
    fs::copy(instance(original), instance(&copy)).expect("a copy");
    copy
}

/// The instance name of a gate, as it says itself.
async fn name_of(gate: &Gate) -> String {
    let status = gate.ask("/api/v1/status").await.body;
    status["instance"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_on_copies_of_a_disk_do_not_go_by_one_name() {
    let github = Hanging::start().await;
    let server = Server::start(DURABLE);
    let url = format!("redis://{}", server.address());
    let settings: Settings<'_> = &[("store.url", &url)];
    let one = Gate::start(&github.url, settings).await;
    let name = name_of(&one).await;
    let copies = [copy_of(&one.place), copy_of(&one.place)];
    let copies = copies.map(|place| Gate::start_in(place, &github.url, settings, WORKER));
    let copies = join_all(copies).await;
    let mut names = BTreeSet::from([name.clone()]);
    for copy in &copies {
        let kept = copy.place.instance();
        assert_eq!(kept, name_of(copy).await, "it has that name from now on");
        names.insert(kept);
    }
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(one.place.instance(), name, "the first one keeps its name");

    // Killed and started again, each has its own name at once.
    for gate in [vec![one], copies].into_iter().flatten() {
        let before = gate.place.instance();
        let again = Gate::start_in(gate.killed(), &github.url, settings, WORKER).await;
        assert_eq!(name_of(&again).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_could_not_ask_at_its_start_stops_before_it_does_anything() {
    let github = Hanging::start().await;
    let mut server = Server::start(DURABLE);
    let url = format!("redis://{}", server.address());
    let settings = [("store.url", url.as_str())];
    let one = Gate::start(&github.url, &settings).await;
    server.kill();
    let place = copy_of(&one.place);
    let settings = [("github.api_url", github.url.as_str()), ("store.url", url.as_str())];
    let mut copy: Process = place.start(&["serve", "--role", "worker"], &settings);
    let up = copy.err.line_with(" is up\"").await;
    let up: Value = serde_json::from_str(&up).expect("a JSON line");
    assert_eq!(up["instance"], one.place.instance());
    server.start_again();
    assert_eq!(copy.code().await, Some(7), "{}", copy.err.text());
    let told = copy.err.text();
    assert!(told.contains("uses the instance name of this process"), "{told}");
    assert_eq!(name_of(&one).await, one.place.instance());
}
