//! `jitgate verify`: whether everything is there to serve trusted jobs, and what stands in the way.

use super::durability::Redis;
use super::stage::Stage;
use crate::support::redis::Server;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Returns the verdicts on a subject.
fn of<'a>(told: &'a Value, subject: &str, verdict: &str) -> Vec<&'a str> {
    let found = told["findings"].as_array().expect("a list").iter();
    found
        .filter(|finding| finding["subject"] == subject && finding["verdict"] == verdict)
        .map(|finding| finding["what"].as_str().expect("words"))
        .collect()
}

fn told(stage: &Stage, args: &[&str], code: i32) -> Value {
    let answer = stage.jitgate(&[&["--json", "verify"], args].concat());
    assert_eq!(answer.code, code, "{}{}", answer.out, answer.err);
    serde_json::from_str(&answer.out).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_setup_is_reported_part_by_part() {
    let stage = Stage::set().await;
    let found = told(&stage, &[], 0);
    assert_eq!(found["ok"], true);
    assert!(of(&found, "configuration", "ok")[0].contains("jitgate.toml"), "{found}");
    let store = of(&found, "store", "ok");
    assert!(
        store.iter().any(|promise| promise.starts_with("synchronous = FULL")),
        "{found}"
    );
    let github = of(&found, "github", "ok");
    assert!(
        github.contains(&"octo-org/chem-model: runners can be listed; 0 of jitgate's are registered, 0 of others"),
        "{found}"
    );
    let repository = of(&found, "repository", "ok");
    assert_eq!(repository.len(), 3, "{found}");
    assert!(repository[1].contains("routing is on"), "{found}");
    assert!(
        repository[2].contains("ci.yml on branch main is that of jitgate"),
        "{found}"
    );
    assert_eq!(
        of(&found, "gate", "warning").len(),
        1,
        "none listens at port 0: {found}"
    );
    for args in [
        &["--repo", "Octo-Org/Chem-Model"][..],
        &["--owner", "octo-org", "--repo", "chem-model"],
    ] {
        assert_eq!(told(&stage, args, 0), found, "{args:?}");
    }
    let answer = stage.jitgate(&["verify"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let last = answer.out.lines().last().expect("a summary");
    assert!(last.starts_with("set up to serve jobs: 0 problems, "), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_process_is_found_at_its_listener() {
    let stage = Stage::set().await;
    let at = stage.admin_address();
    let answer = stage.jitgate_with(&["--json", "verify"], &[("JITGATE__SERVER__ADMIN_LISTEN", &at)]);
    let found = answer.json();
    assert_eq!(of(&found, "gate", "ok"), [format!("it runs and answers at {at}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_passes_before_the_first_start() {
    let stage = Stage::set().await;
    let database = format!("sqlite:{}", stage.path("new/jitgate.db").display());
    let state = stage.path("new").display().to_string();
    let new = [
        ("JITGATE__STORE__URL", database.as_str()),
        ("JITGATE__SERVER__STATE_DIR", state.as_str()),
    ];
    let found = stage.jitgate_with(&["--json", "verify"], &new).json();
    assert!(
        of(&found, "store", "warning")[0].contains("start jitgate serve to create it"),
        "{found}"
    );
    assert!(!stage.path("new").exists(), "it only looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_at_the_address_is_not_mistaken_for_jitgate() {
    let stage = Stage::set().await;
    let somebody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = somebody.local_addr().expect("an address").to_string();
    let hello = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answering = tokio::spawn(async move {
        let (mut caller, _) = somebody.accept().await.expect("a caller");
        let mut request = [0; 1024];
        assert!(caller.read(&mut request).await.expect("a request") > 0);
        caller.write_all(hello).await.expect("an answer");
    });
    let answer = stage.jitgate_with(&["--json", "verify"], &[("JITGATE__SERVER__ADMIN_LISTEN", &at)]);
    answering.await.expect("it answers");
    let found = answer.json();
    assert!(
        of(&found, "gate", "warning")[0].contains("not from a healthy jitgate"),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_in_the_place_of_the_api_blames_no_repository() {
    let stage = Stage::set().await;
    for status in [200, 302, 401, 403, 404] {
        let page =
            json!([{"endpoint": "*", "times": 0}, {"endpoint": "*", "status": status, "page": true, "times": 9}]);
        stage.world(json!({"faults": page})).await;
        let found = told(&stage, &[], 4);
        let problems = of(&found, "github", "problem");
        assert_eq!(problems.len(), 1, "{found}");
        let said = format!("answered {status} without the JSON of GitHub's API");
        assert!(
            problems[0].contains(&said) && problems[0].contains("/api/v3"),
            "{found}"
        );
        assert!(!found.to_string().contains("no such repository"), "{found}");
        assert!(!found.to_string().contains("is not installed"), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_routing_and_shared_runners_are_warnings() {
    let stage = Stage::set().await;
    stage
        .world(json!({
            "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "false"},
            "runners": [
                {"id": 901, "name": "home-self-host", "labels": ["self-hosted", "linux", "x64", "Chem-Trusted-PR"]},
                {"id": 902, "name": "builder", "labels": ["self-hosted", "gpu"]},
                {"id": 903, "name": "CHEM-JIT-otherone-101-1", "labels": ["x64"]},
                {"id": 904, "name": "deploy-1", "labels": ["self-hosted", "deploy"]},
            ],
        }))
        .await;
    let known = [("JITGATE__RUNNERS__KNOWN", "builder,deploy-*")];
    let found = stage.jitgate_with(&["--json", "verify"], &known).json();
    let warnings = of(&found, "repository", "warning");
    assert_eq!(warnings.len(), 4, "{found}");
    assert!(
        warnings[2].contains("runner CHEM-JIT-otherone-101-1 (online) is neither jitgate's nor in runners.known"),
        "{found}"
    );
    assert!(warnings[0].contains("routing is off"), "{found}");
    assert!(
        warnings[1].contains("runner home-self-host (online) has the label chem-trusted-pr"),
        "{found}"
    );
    assert!(
        of(&found, "github", "ok")[0].contains("0 of jitgate's are registered, 4 of others"),
        "{found}"
    );
    let all = told(&stage, &[], 0);
    assert_eq!(of(&all, "repository", "warning").len(), 6, "none is listed: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_sandbox_or_runner_program_is_reported() {
    let stage = Stage::set().await;
    let home = stage.path("runner-home").display().to_string();
    // As root an account has to be named.
    let is_root = std::fs::metadata("/proc/self").expect("ourselves").uid() == 0;
    let local = [
        if is_root {
            ("JITGATE__LOCAL__USER", "root")
        } else {
            ("JITGATE__TELEMETRY__LOG", "info")
        },
        ("JITGATE__RUNNERS__HOST", "local"),
        ("JITGATE__LOCAL__SANDBOX", "none"),
        ("JITGATE__LOCAL__RUNNER_HOME", home.as_str()),
        ("JITGATE__LOCAL__PUBLIC_REPOSITORIES", "true"),
    ];
    let verify = || stage.jitgate_with(&["--json", "verify"], &local);
    let answer = verify();
    assert_eq!(answer.code, 6, "{}", answer.out);
    let found: Value = serde_json::from_str(&answer.out).expect("JSON");
    assert!(of(&found, "host", "problem")[0].contains("run.sh"), "{found}");
    stage.program("runner-home/run.sh", "#!/bin/sh\n");
    let found = verify().json();
    let warnings = of(&found, "host", "warning");
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("local.sandbox = \"none\" hides nothing")),
        "{found}"
    );
    let told = stage.jitgate_with(&["verify"], &local).out;
    assert!(
        told.contains("warning  host           local.sandbox = \"none\""),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_problem_decides_the_exit_code() {
    let stage = Stage::set().await;
    // Not ours, not there, not answering, and not for this kind of host.
    let found = told(&stage, &["--repo", "octo-org/other"], 3);
    assert!(
        of(&found, "configuration", "problem")[0].contains("octo-org/other is not configured"),
        "{found}"
    );
    let elsewhere = [("JITGATE__REPOSITORIES", "octo-org/chem-model,octo-org/absent")];
    let answer = stage.jitgate_with(&["verify"], &elsewhere);
    assert_eq!(answer.code, 4, "{}", answer.out);
    assert!(
        answer.out.contains("octo-org/absent: GitHub shows no such repository"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.contains("octo-org/chem-model: runners can be listed"),
        "the other one is looked at"
    );
    let public = [("JITGATE__RUNNERS__HOST", "local")];
    let answer = stage.jitgate_with(&["verify"], &public);
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert!(
        answer.out.contains("local.public_repositories = true"),
        "{}",
        answer.out
    );
    stage
        .world(json!({"faults": [{"endpoint": "list-runners", "status": 403, "times": 9}]}))
        .await;
    let found = told(&stage, &[], 4);
    assert!(
        of(&found, "github", "problem")[0].starts_with("octo-org/chem-model: "),
        "{found}"
    );
    stage
        .world(json!({"faults": [{"endpoint": "list-runners", "times": 0}]}))
        .await;
    for (key, value, code) in [
        ("JITGATE__STORE__URL", "redis://127.0.0.1:1", 5),
        ("JITGATE__STORE__URL", "sqlite:/proc/nowhere/jitgate.db", 5),
        ("JITGATE__SERVER__STATE_DIR", "/proc/nowhere", 3),
    ] {
        let answer = stage.jitgate_with(&["verify"], &[(key, value)]);
        assert_eq!(answer.code, code, "{value}: {}", answer.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_has_one_owner() {
    let stage = Stage::set().await;
    for args in [
        &["--owner", "octo-org"][..],
        &["--owner", "octo-org", "--repo", "mallory/chem-model"],
        &["--repo", "chem-model"],
    ] {
        let answer = stage.jitgate(&[&["verify"], args].concat());
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{args:?}: {}", answer.err);
    }
}

/// Runs `verify` on a Redis with this configuration, as its user `gate` if there is one.
fn on_redis(stage: &Stage, configuration: &str, user: &str) -> (i32, String) {
    let path = stage.path("redis.conf");
    std::fs::write(&path, configuration).expect("a file");
    let redis = Redis::start(Some(&path));
    let url = format!("redis+unix://{user}{}", redis.socket().display());
    let answer = stage.jitgate_with(&["verify"], &[("JITGATE__STORE__URL", &url)]);
    let left = std::process::Command::new("redis-cli")
        .arg("-s")
        .arg(redis.socket())
        .args(["KEYS", "*probe*"])
        .output();
    let left = String::from_utf8_lossy(&left.expect("redis-cli is missing").stdout).into_owned();
    assert_eq!(left.trim(), "", "of a trial nothing is left");
    (answer.code, answer.out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_a_command_of_serving_is_not_called_fit() {
    let stage = Stage::set().await;
    let (code, told) = on_redis(&stage, "", "");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("it supports all operations"), "{told}");
    for (refused, configuration) in [
        ("EVAL", "rename-command EVAL \"\"\nrename-command EVALSHA \"\""),
        ("EVAL", "rename-command EVAL \"\""),
        ("XREADGROUP", "rename-command XREADGROUP \"\""),
        ("XCLAIM", "rename-command XCLAIM \"\""),
        ("ZRANGEBYLEX", "rename-command ZRANGEBYLEX \"\""),
        ("PEXPIREAT", "rename-command PEXPIREAT never-called-so"),
    ] {
        let (code, told) = on_redis(&stage, configuration, "");
        assert_eq!(code, 5, "{configuration}: {told}");
        assert!(told.to_uppercase().contains(refused), "{configuration}: {told}");
    }
    for (refused, rules) in [
        ("EVALSHA", "+@all -@scripting ~* &*"),
        ("SUBSCRIBE", "+@all -@pubsub ~* &*"),
        ("XREADGROUP", "+@all -@stream ~* &*"),
        ("ZADD", "+@all -zadd ~* &*"),
        ("NOPERM", "+@all ~elsewhere:* ~jitgate:* &*"),
        ("NOPERM", "+@all ~* &elsewhere"),
    ] {
        let (code, told) = on_redis(&stage, &format!("user gate on >pw {rules}"), "gate:pw@");
        assert_eq!(code, 5, "{rules}: {told}");
        assert!(told.to_uppercase().contains(refused), "{rules}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_to_is_not_called_fit() {
    let stage = Stage::set().await;
    let found = told(&stage, &[], 0);
    assert!(
        of(&found, "store", "ok").contains(&"it supports all operations"),
        "{found}"
    );
    let other = rusqlite::Connection::open(stage.path("state/jitgate.db")).expect("a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let found = told(&stage, &[], 5);
    assert!(of(&found, "store", "problem")[0].contains("locked"), "{found}");
    other.execute_batch("ROLLBACK").expect("no lock");
    let rows: i64 = other
        .query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(rows, 0, "of a trial nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_local_jobs_can_open_is_reported_although_the_url_has_a_password() {
    let stage = Stage::set().await;
    stage.program("runner-home/run.sh", "#!/bin/sh\n");
    let home = stage.path("runner-home").display().to_string();
    let told_of = |configuration: &str, host: &str| {
        let port = Server::free_port();
        let path = stage.path("redis.conf");
        std::fs::write(&path, format!("{configuration}\nuser gate on >pw +@all ~* &*\n")).expect("a file");
        let redis = Redis::start_on(Some(&path), port);
        let local = |url: &str| {
            let settings = [
                ("JITGATE__RUNNERS__HOST", host),
                ("JITGATE__LOCAL__RUNNER_HOME", home.as_str()),
                ("JITGATE__STORE__URL", url),
            ];
            stage.jitgate_with(&["verify"], &settings).out
        };
        let by_port = local(&format!("redis://gate:pw@127.0.0.1:{port}"));
        let by_socket = local(&format!("redis+unix://gate:pw@{}", redis.socket().display()));
        [by_port, by_socket].map(|out| out.contains("accepts clients without a password"))
    };
    for open in [
        "",
        "user default on nopass -@all +exists ~* &*",
        "user default on nopass -@all +del ~{jitgate:* &*",
    ] {
        assert_eq!(told_of(open, "local"), [true, true], "{open}");
    }
    for closed in [
        "user default off",
        "requirepass other",
        "user default on nopass -@all +ping ~* &*",
    ] {
        assert_eq!(told_of(closed, "local"), [false, false], "{closed}");
    }
    assert_eq!(told_of("", "synthetic"), [false, false], "there are no jobs here");
}
