//! `jitgate verify` with a GitHub App on the simulated GitHub: each mistake in the App, its webhook, its installation, its key
//! or the clock is one finding with a remedy.

use super::stage::Stage;
use crate::support::scripted::KEY;
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A stage whose configuration has App 1, and whose App has a webhook.
async fn stage() -> Stage {
    let stage = Stage::set().await;
    use_app(&stage, "1", &KEY.private_pem);
    stage.world(json!({"app": healthy()})).await;
    stage
}

/// Replaces the credentials of the configuration.
fn use_app(stage: &Stage, id: &str, key: &str) {
    let (file, pem) = (stage.path("jitgate.toml"), stage.path("app.pem"));
    fs::write(&pem, key).expect("a file");
    fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).expect("a mode");
    let is_credential = |line: &str| {
        ["token_file", "app_id", "private_key_file"]
            .iter()
            .any(|key| line.trim().starts_with(key))
    };
    let text = fs::read_to_string(&file).expect("a file");
    let kept: Vec<&str> = text.lines().filter(|line| !is_credential(line)).collect();
    let app = format!("[github]\napp_id = \"{id}\"\nprivate_key_file = \"{}\"", pem.display());
    fs::write(file, kept.join("\n").replace("[github]", &app)).expect("a file");
}

fn permissions() -> Value {
    json!({"actions": "write", "actions_variables": "write", "administration": "write", "contents": "read", "metadata": "read",
        "organization_self_hosted_runners": "write", "pull_requests": "read"})
}

/// The permissions with one change; null removes.
fn permissions_with(name: &str, level: Value) -> Value {
    let mut permissions = permissions();
    permissions[name] = level;
    permissions
        .as_object_mut()
        .expect("an object")
        .retain(|_, level| !level.is_null());
    permissions
}

fn webhook(url: &str) -> Value {
    json!({"url": url, "content_type": "json", "insecure_ssl": false})
}

fn healthy() -> Value {
    json!({"permissions": permissions(), "installed_permissions": permissions(), "events": ["workflow_job"], "suspended": false,
        "webhook": webhook("https://gate.example/webhooks/github")})
}

/// Returns the exit code and the findings.
fn verify(stage: &Stage) -> (i32, Vec<Value>) {
    let answer = stage.jitgate(&["--json", "verify"]);
    let told: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{}{}", answer.out, answer.err));
    (answer.code, told["findings"].as_array().expect("a list").clone())
}

/// Expects one finding of a verdict with these words and this remedy, and no other problem than tokens that GitHub refuses
/// for the same reason.
fn expect(found: &[Value], verdict: &str, what: &str, remedy: &str) {
    let has = |finding: &&Value, key: &str, words: &str| finding[key].as_str().is_some_and(|text| text.contains(words));
    let fitting: Vec<&Value> = found
        .iter()
        .filter(|finding| finding["verdict"] == verdict && has(finding, "what", what))
        .collect();
    assert_eq!(fitting.len(), 1, "{verdict} {what}: {found:#?}");
    assert!(has(&fitting[0], "remedy", remedy), "{remedy}: {:#?}", fitting[0]);
    let problems: Vec<&Value> = found.iter().filter(|finding| finding["verdict"] == "problem").collect();
    let is_only = problems.iter().all(|problem| {
        *problem == fitting[0]
            || has(problem, "what", "cannot get a token")
            || has(problem, "what", "GitHub rejects the JWT of app")
    });
    assert!(is_only, "{what}: {problems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_everything_has_no_problem() {
    let stage = stage().await;
    let (code, found) = verify(&stage);
    assert_eq!(code, 0, "{found:#?}");
    for part in [
        "app jitgate has the permissions and events that jitgate needs",
        "the webhook of the app sends JSON to https://gate.example/webhooks/github",
        "the clock of this machine agrees with GitHub's",
        "runners can be listed",
    ] {
        let is_ok = |finding: &&Value| {
            finding["verdict"] == "ok" && finding["what"].as_str().is_some_and(|what| what.contains(part))
        };
        assert_eq!(found.iter().filter(is_ok).count(), 1, "{part}: {found:#?}");
    }
    assert!(
        !found.iter().any(|finding| finding["verdict"] == "problem"),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_the_app_is_named_with_its_remedy() {
    let stage = stage().await;
    let page = "Settings > Developer settings > GitHub Apps > Permissions & events";
    for (change, verdict, what, remedy, code) in [
        (
            json!({"permissions": permissions_with("contents", Value::Null)}),
            "problem",
            "app jitgate lacks permissions: contents read",
            page,
            4,
        ),
        (
            json!({"permissions": permissions_with("administration", json!("read"))}),
            "problem",
            "app jitgate lacks permissions: administration write",
            "accept them for each installation",
            4,
        ),
        (
            json!({"permissions": permissions_with("secrets", json!("write"))}),
            "warning",
            "app jitgate has permissions that jitgate does not use: secrets write",
            "reduce them",
            0,
        ),
        (
            json!({"permissions": permissions_with("contents", json!("write"))}),
            "warning",
            "does not use: contents write",
            page,
            0,
        ),
        (
            json!({"installed_permissions": permissions_with("pull_requests", Value::Null)}),
            "problem",
            "the installation of the app lacks permissions: pull_requests read",
            "accept the new permissions: octo-org > Settings > GitHub Apps > Configure",
            4,
        ),
        (
            json!({"events": ["push"]}),
            "problem",
            "app jitgate does not receive the event workflow_job",
            "subscribe to it",
            4,
        ),
        (
            json!({"webhook": webhook("https://gate.example/hooks")}),
            "problem",
            "the webhook URL of the app is https://gate.example/hooks, which does not end with /webhooks/github",
            "correct it: Settings > Developer settings > GitHub Apps > Webhook",
            4,
        ),
        (
            json!({"webhook": webhook("")}),
            "problem",
            "the app has no webhook URL",
            "set it to https://HOST/webhooks/github",
            4,
        ),
        (
            json!({"webhook": {"content_type": "form"}}),
            "problem",
            "content type form",
            "select application/json",
            4,
        ),
        (
            json!({"webhook": {"insecure_ssl": true}}),
            "problem",
            "accepts any certificate",
            "enable the verification of certificates",
            4,
        ),
        (
            json!({"suspended": true}),
            "problem",
            "octo-org/chem-model: the installation of the app is suspended",
            "resume it: octo-org > Settings > GitHub Apps > Configure",
            4,
        ),
    ] {
        stage.world(json!({"app": change})).await;
        let (found_code, found) = verify(&stage);
        expect(&found, verdict, what, remedy);
        assert_eq!(found_code, code, "{what}: {found:#?}");
        stage.world(json!({"app": healthy()})).await;
    }
    assert_eq!(verify(&stage).0, 0);
}

/// Creates an App by its manifest, as a browser does; returns its id and its private key.
async fn created(stage: &Stage, name: &str) -> (String, String) {
    let browser = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .expect("a client");
    let manifest = json!({
        "name": name, "url": "https://gate.example", "redirect_url": "http://127.0.0.1:1/callback", "public": false,
        "hook_attributes": {"url": "https://gate.example/webhooks/github"},
        "default_permissions": permissions(), "default_events": ["workflow_job"],
    });
    let (url, manifest) = (stage.simulator.url(), manifest.to_string());
    let fields = [
        ("name", name),
        ("owner", "octo-org"),
        ("state", "s"),
        ("manifest", &manifest),
    ];
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let form = fields
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .join("&");
    let answer = browser
        .post(format!("{url}/settings/apps/create"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .expect("an answer");
    let location = answer.headers()["location"].to_str().expect("an address").to_owned();
    let code = location
        .split("code=")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .expect("a code");
    let answer = browser
        .post(format!("{url}/app-manifests/{code}/conversions"))
        .send()
        .await;
    let app: Value = serde_json::from_str(&answer.expect("an answer").text().await.expect("text")).expect("JSON");
    (app["id"].to_string(), app["pem"].as_str().expect("a key").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_app_is_named_as_the_cause() {
    let stage = stage().await;
    let (id, key) = created(&stage, "gate").await;
    let (_, other) = created(&stage, "other").await;
    use_app(&stage, &id, &key);
    let (code, found) = verify(&stage);
    assert_eq!(code, 0, "{found:#?}");
    use_app(&stage, &id, &other);
    let (code, found) = verify(&stage);
    expect(
        &found,
        "problem",
        "app: GET /app: GitHub answered 401: A JSON web token could not be decoded",
        "correct github.app_id",
    );
    assert_eq!(code, 4, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_from_githubs_is_named_as_the_cause() {
    let stage = stage().await;
    let date = |ahead: TimeDelta| (SystemClock.now() - ahead).to_rfc2822().replace("+0000", "GMT");
    for (ahead, verdict, what, code) in [
        (TimeDelta::seconds(90), "problem", "s ahead of GitHub's", 6),
        (TimeDelta::seconds(-90), "problem", "s behind GitHub's", 6),
    ] {
        let faults = json!([{"endpoint": "meta", "status": 200, "headers": {"date": date(ahead)}}]);
        stage.world(json!({"faults": faults})).await;
        let (found_code, found) = verify(&stage);
        expect(&found, verdict, what, "timedatectl set-ntp true");
        assert_eq!(found_code, code, "{found:#?}");
    }
    // GitHub rejects the JWT of a clock that is too far ahead.
    let ahead = json!({"date": date(TimeDelta::minutes(20))});
    let faults = ["app", "installation", "hook", "deliveries", "meta"]
        .map(|name| json!({"endpoint": name, "status": if name == "meta" { 200 } else { 401 }, "headers": ahead, "times": 9}));
    stage.world(json!({"faults": faults})).await;
    let (code, found) = verify(&stage);
    let is_of_clock = |finding: &&Value| {
        finding["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("timedatectl"))
    };
    let problems: Vec<&Value> = found.iter().filter(|finding| finding["verdict"] == "problem").collect();
    assert!(
        problems.iter().filter(|problem| is_of_clock(problem)).count() >= 2,
        "{found:#?}"
    );
    assert_eq!(code, 4, "{found:#?}");
}
