//! Starting: what is told when it can't be, and what may be left out. And `jitgate simulate`, which starts by itself.

use super::outage::Hanging;
use crate::support::gate::{CONFIGURATION, Gate, Place, Settings};
use crate::support::payload::{body, guid};
use crate::support::redis::{DURABLE, Server};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn all_problems_of_the_configuration_are_reported_at_once() {
    let place = Place::new();
    place.file("github-token", "sim-test", 0o644);
    let settings = [
        ("server.read_timeout_s", "0"),
        ("store.url", "mysql:"),
        ("routing.trust_label", "other"),
    ];
    let mut process = place.start(&["serve"], &settings);
    assert_eq!(process.code().await, Some(3));
    let said = process.err.text();
    assert!(said.contains("4 problems"), "{said}");
    for key in [
        "server.read_timeout_s",
        "store.url",
        "routing.trust_label",
        "github.token_file",
    ] {
        assert!(said.contains(key), "{key} is not in {said}");
    }
    assert!(said.contains("remedy: "), "{said}");
    assert_eq!(process.out.text(), "", "data only goes there");
    assert!(!place.path("jitgate-state").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    for key in ["server.listen", "server.admin_listen"] {
        let place = Place::new();
        let mut process = place.start(&["serve"], &[(key, &address)]);
        assert_eq!(process.code().await, Some(9), "{key}: a later try may succeed");
        let said = process.err.text();
        assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
        assert!(said.contains("in use") && said.contains("remedy: "), "{said}");
    }
}

#[tokio::test]
async fn of_two_on_one_file_the_second_names_the_first_and_leaves() {
    let github = Hanging::start().await;
    let on_file: Settings<'_> = &[("store.url", "sqlite:./jitgate.db")];
    let gate = Gate::start(&github.url, on_file).await;
    let mut second = gate.place.start(&["serve"], on_file);
    assert_eq!(second.code().await, Some(7));
    let said = second.err.text();
    let holder = format!("is in use by another jitgate serve (process {})", gate.process.id());
    assert!(said.contains(&holder), "{holder:?} is not in {said}");

    let taken = gate.deliver("workflow_job", &guid(1), body("queued", 1)).await;
    assert_eq!(taken.status, 202, "the first one goes on");
    let mut beside = gate.place.start(&["delivery", "list"], on_file);
    assert_eq!(beside.code().await, Some(0), "{}", beside.err.text());
    assert!(beside.out.text().contains(&guid(1)), "{}", beside.out.text());
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_is_named() {
    let place = Place::new();
    place.file("occupied", "", 0o600);
    let mut process = place.start(&["serve"], &[("server.state_dir", "occupied/state")]);
    assert_eq!(process.code().await, Some(3));
    let said = process.err.text();
    assert!(said.contains("occupied/state") && said.contains("remedy: "), "{said}");
}

#[tokio::test]
async fn a_single_role_needs_a_shared_store() {
    let place = Place::new();
    for role in ["ingress", "worker"] {
        let mut process = place.start(&["serve", "--role", role], &[]);
        assert_eq!(process.code().await, Some(3), "{role}");
        let said = process.err.text();
        assert!(said.contains("store.url") && said.contains("--role all"), "{said}");
    }
}

#[tokio::test]
async fn an_ingress_needs_no_credentials_of_github_and_a_worker_does() {
    let place = Place::new();
    let without = CONFIGURATION.replace("token_file = \"github-token\"\n", "");
    place.file("jitgate.toml", &without, 0o600);
    // A server that is down keeps neither from starting.
    let settings = [
        ("store.url", "redis://127.0.0.1:9"),
        ("github.api_url", "http://127.0.0.1:9"),
    ];
    let mut ingress = place.start(&["serve", "--role", "ingress"], &settings);
    ingress.err.line_with(" is up\"").await;
    let mut worker = place.start(&["serve", "--role", "worker"], &settings);
    assert_eq!(worker.code().await, Some(3));
    assert!(worker.err.text().contains("github.app_id"), "{}", worker.err.text());
}

#[tokio::test]
async fn without_repositories_all_deliveries_are_ignored_with_a_warning() {
    let github = Hanging::start().await;
    let place = Place::new();
    place.file(
        "jitgate.toml",
        "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n[webhook]\n\
         secrets = ['the current webhook secret']\n[github]\ntoken_file = 'github-token'\n[store]\nurl = 'memory:'\n",
        0o600,
    );
    let mut gate = Gate::start_in(place, &github.url, &[], &[]).await;
    let warning = gate.process.err.line_with("no repository is configured").await;
    assert!(warning.contains("WARN"), "{warning}");
    let answer = gate.deliver("workflow_job", &guid(1), body("queued", 1)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({"delivery": guid(1), "status": "ignored", "reason": "repository"})
    );
}

#[tokio::test]
async fn the_simulated_github_prints_its_url_and_stops_on_request() {
    for (args, is_json) in [(&["simulate"][..], false), (&["simulate", "--json"], true)] {
        let place = Place::new();
        let mut process = place.start(args, &[]);
        let line = process.out.line_with("http://127.0.0.1:").await;
        let url = if is_json {
            process
                .out
                .line_with("\"url\"")
                .await
                .split('"')
                .nth(3)
                .expect("a URL")
                .to_owned()
        } else {
            line
        };
        let meta = reqwest::get(format!("{url}/meta")).await.expect("an answer");
        let meta: serde_json::Value = meta.json().await.expect("JSON");
        assert_eq!(meta["simulator"], "jitgate");
        process.terminate();
        assert_eq!(process.code().await, Some(0));
        assert_eq!(process.err.text(), "", "it has nothing to complain of");
    }
    let mut process = Place::new().start(&["simulate", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(process.code().await, Some(2));
    assert!(process.err.text().contains("loopback"), "{}", process.err.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_of_this_machine_begins_beside_a_redis_that_lets_it_in() {
    let user = ["ACL", "SETUSER", "gate", "on", ">pw", "+@all", "~*", "&*"];
    let mut server = Server::start(DURABLE);
    server.cli(&user);
    let url = format!("redis://gate:pw@{}", server.address());
    let settings = [
        ("store.url", url.as_str()),
        ("runners.host", "local"),
        ("local.sandbox", "none"),
    ];
    let place = Place::new();
    // A runner program that is never started.
    std::fs::create_dir(place.path("runner")).expect("a directory");
    place.file("runner/run.sh", "#!/bin/sh\n", 0o755);
    let home = place.path("runner").display().to_string();
    let settings = [&settings[..], &[("local.runner_home", home.as_str())]].concat();
    for command in [&["serve", "--role", "worker"][..], &["pool", "reconcile"]] {
        let mut gate = place.start(command, &settings);
        assert_eq!(gate.code().await, Some(3), "{command:?}: {}", gate.err.text());
        let told = gate.err.text();
        assert!(told.contains("accepts clients without a password"), "{told}");
        assert!(told.contains("remedy: disable its default user"), "{told}");
    }

    // One that could not be asked at the start is asked as soon as it is there. A single pass does not wait for it.
    server.kill();
    let mut pass = place.start(&["pool", "reconcile"], &settings);
    assert_eq!(pass.code().await, Some(5), "{}", pass.err.text());
    let mut gate = place.start(&["serve", "--role", "worker"], &settings);
    gate.err.line_with(" is up\"").await;
    server.start_again();
    server.cli(&user);
    assert_eq!(gate.code().await, Some(3), "{}", gate.err.text());

    server.cli(&["ACL", "SETUSER", "default", "off"]);
    let mut gate = place.start(&["serve", "--role", "worker"], &settings);
    gate.err.line_with(" is up\"").await;
}
