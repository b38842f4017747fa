//! `jitgate app` against the described GitHub.

use super::stage::Stage;
use crate::support::openapi::OpenApiGithub;
use chrono::{DateTime, Utc};
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const APP: &str = "GET /app";
const INSTALLATION: &str = "GET /repos/{owner}/{repo}/installation";
const TOKEN: &str = "POST /app/installations/{installation_id}/access_tokens";
const REFRESH: [&str; 6] = [
    "app",
    "refresh-token",
    "--token-file",
    "t/token",
    "--status-file",
    "s/status.json",
];

/// The permissions that jitgate needs in a repository.
fn permissions() -> Value {
    json!({
        "actions": "write", "actions_variables": "write", "administration": "write", "contents": "read",
        "metadata": "read", "pull_requests": "read", "issues": "write",
    })
}

/// GitHub's example of an app with this id, name, permissions and events.
fn app(id: u64, slug: &str, permissions: &Value, event: &str) -> Value {
    let mut app = OpenApiGithub::example(APP);
    app["id"] = json!(id);
    app["slug"] = json!(slug);
    app["owner"]["login"] = json!("octo-org");
    app["permissions"] = permissions.clone();
    app["events"] = json!([event]);
    app
}

/// GitHub's example of an installation with this id.
fn installation(id: u64) -> Value {
    let mut installation = OpenApiGithub::example(INSTALLATION);
    installation["id"] = json!(id);
    installation["account"]["login"] = json!("octo-org");
    installation["permissions"] = permissions();
    installation["suspended_at"] = Value::Null;
    installation["suspended_by"] = Value::Null;
    installation
}

/// A stage whose app 4711 is complete and installed.
pub(super) fn stage() -> Stage {
    let stage = Stage::set();
    stage
        .github
        .answer(APP, 200, app(4711, "gate", &permissions(), "workflow_job"));
    stage.github.answer(INSTALLATION, 200, installation(77));
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_shows_the_app_and_what_it_lacks() {
    let stage = stage();
    let shown = stage.assert_changes_nothing(&["app", "check", "--json"], &[]).json();
    assert_eq!(
        (&shown["app_id"], &shown["slug"], &shown["owner"]),
        (&json!(4711), &json!("gate"), &json!("octo-org"))
    );
    let skew = shown["clock_skew_s"].as_i64().expect("a number");
    assert!(skew.abs() <= 2, "{skew}");
    assert_eq!(shown["missing_permissions"], json!([]));

    stage
        .github
        .answer(APP, 200, app(4711, "gate", &json!({"contents": "read"}), "push"));
    let answer = stage.run(&["app", "check"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    for missing in [
        "administration: write",
        "actions_variables: write",
        "missing event: workflow_job",
    ] {
        assert!(answer.out.contains(missing), "{}", answer.out);
    }
    assert!(answer.err.contains("settings/apps/gate/permissions"), "{}", answer.err);

    // Another app has this key.
    stage
        .github
        .answer(APP, 200, app(5, "other", &permissions(), "workflow_job"));
    let answer = stage.run(&["app", "check"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(answer.err.contains("set github.app_id to 5"), "{}", answer.err);
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permission_for_runners_of_an_organization_is_needed_only_with_this_scope() {
    let stage = stage();
    assert_eq!(stage.run(&["app", "check"]).code, 0);
    let toml = fs::read_to_string(stage.at("jitgate.toml")).expect("a file");
    fs::write(
        stage.at("jitgate.toml"),
        format!("{toml}\nscope = \"org\"\nrunner_group_id = 3\n"),
    )
    .expect("a file");
    let answer = stage.run(&["app", "check"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(
        answer.out.contains("organization_self_hosted_runners: write"),
        "{}",
        answer.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_found_by_repository_organization_and_person() {
    let stage = stage();
    let found = installation(88);
    for operation in ["GET /orgs/{org}/installation", "GET /users/{username}/installation"] {
        stage.github.answer(operation, 200, found.clone());
    }
    for (more, id) in [
        (&[][..], "77\n"),
        (&["--owner", "octo-org", "--repo", "octo-repo"], "77\n"),
        (&["--org", "octo-org"], "88\n"),
        (&["--user", "alice"], "88\n"),
    ] {
        let answer = stage.assert_changes_nothing(&[&["app", "installation-id"], more].concat(), &[]);
        assert_eq!(answer.out, id, "{more:?}");
    }
    let json = stage.run(&["app", "installation-id", "--json"]).json();
    assert_eq!(json, json!({"installation_id": 77, "account": "octo-org"}));
    for wrong in [
        &["--org", "a/b"][..],
        &["--org", "a", "--user", "b"],
        &["--repo", "nonsense"],
    ] {
        assert_eq!(
            stage.run(&[&["app", "installation-id"], wrong].concat()).code,
            2,
            "{wrong:?}"
        );
    }
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_what_jitgate_needs_and_no_more() {
    let stage = stage();
    let answer = stage.run(&["app", "token"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "ghs_model\n"), "{}", answer.err);
    assert!(
        answer.err.contains("valid until ") && !answer.err.contains("ghs_model"),
        "{}",
        answer.err
    );
    let calls = stage.github.calls();
    let call = calls.iter().find(|call| call.operation() == TOKEN).expect("a request");
    assert_eq!(call.variables["installation_id"], "77");
    assert_eq!(call.body["repositories"], json!(["octo-repo"]));
    let mut expected = permissions();
    expected.as_object_mut().expect("an object").remove("issues");
    assert_eq!(call.body["permissions"], expected);

    // The flags of the checklist select an installation without a repository.
    stage
        .github
        .answer("GET /app/installations/{installation_id}", 200, installation(99));
    let key = stage.at("app.pem").display().to_string();
    let flags = [
        "app",
        "token",
        "--app-id",
        "4711",
        "--installation-id",
        "99",
        "--private-key-file",
        &key,
    ];
    let answer = stage.run_with(&flags, &[("JITGATE__REPOSITORIES", "")]);
    assert_eq!(answer.out, "ghs_model\n", "{}", answer.err);
    let last = stage.github.calls().pop().expect("a request");
    assert_eq!(
        (last.variables["installation_id"].as_str(), &last.body["repositories"]),
        ("99", &Value::Null)
    );
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_replaces_the_token_and_notes_the_time() {
    let stage = stage();
    let answer = stage.assert_changes_nothing(&[&REFRESH[..], &["--dry-run"]].concat(), &[]);
    assert!(answer.out.contains("would replace t/token"), "{}", answer.out);
    assert!(
        !stage.github.calls().iter().any(|call| call.operation() == TOKEN),
        "a dry run gets no token"
    );
    for token in ["ghs_one", "ghs_two"] {
        let expires_at = "2099-01-01T00:00:00Z";
        stage
            .github
            .answer(TOKEN, 201, json!({"token": token, "expires_at": expires_at}));
        let before = SystemClock.now();
        let answer = stage.run(&REFRESH);
        assert_eq!(answer.code, 0, "{}", answer.err);
        assert!(!(answer.out + &answer.err).contains("ghs_"));
        assert_eq!(
            fs::read_to_string(stage.at("t/token")).expect("a token"),
            format!("{token}\n")
        );
        let status: Value =
            serde_json::from_slice(&fs::read(stage.at("s/status.json")).expect("a status")).expect("JSON");
        let refreshed: DateTime<Utc> = status["refreshed_at"].as_str().expect("text").parse().expect("a time");
        assert!(refreshed >= before && refreshed <= SystemClock.now());
        assert_eq!(status["expires_at"], expires_at);
        assert_eq!(
            status["token_file"],
            stage
                .at("t/token")
                .canonicalize()
                .expect("a path")
                .display()
                .to_string()
        );
        for (name, mode) in [("t/token", 0o600), ("t", 0o700), ("s/status.json", 0o644)] {
            let found = fs::metadata(stage.at(name)).expect("a file").permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{name}");
        }
    }
    assert_eq!(
        fs::read_dir(stage.at("t")).expect("a folder").count(),
        1,
        "no draft is left"
    );
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_the_app_has_a_remedy() {
    let stage = stage();
    let files = stage.files();
    stage.assert_refusals_have_a_remedy(&["app", "check"], &[APP], &[]);
    stage.assert_refusals_have_a_remedy(&["app", "installation-id"], &[INSTALLATION], &[]);
    stage.assert_refusals_have_a_remedy(&["app", "token"], &[INSTALLATION, TOKEN], &[]);
    stage.assert_refusals_have_a_remedy(&REFRESH, &[TOKEN], &[]);
    let changed: Vec<_> = stage
        .files()
        .into_iter()
        .filter(|file| !files.contains(file) && file.0.is_file())
        .collect();
    assert!(changed.is_empty(), "a refused refresh writes nothing: {changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_installation_is_reported_as_such() {
    let stage = stage();
    let mut suspended = installation(77);
    suspended["suspended_at"] = json!("2026-01-01T00:00:00Z");
    stage.github.answer(INSTALLATION, 200, suspended);
    let answer = stage.run(&["app", "token"]);
    assert_eq!((answer.code, answer.out.as_str()), (4, ""));
    assert!(
        answer.err.contains("is suspended") && answer.err.contains("remedy"),
        "{}",
        answer.err
    );
}
