//! `jitgate runner register`: the states that it repairs, those that it refuses, and dry runs.

use super::stage::{LIST, Stage, TOKEN, TOKEN_TEXT, UNIT};
use crate::support::openapi::Fault;
use serde_json::json;
use std::fs;

const REGISTER: [&str; 6] = ["runner", "register", "--runner-home", "home", "--service-user", "root"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&REGISTER[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_runner_is_registered_once_and_its_token_is_no_argument() {
    let stage = Stage::set();
    let args = with(&["--name", "base", "--labels", "self-hosted,gpu", "--why", "a new disk"]);
    let preview = stage.assert_changes_nothing(&[&args[..], &["--dry-run"]].concat(), 0);
    let answer = stage.run(&args);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let steps = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("would ").or(line.strip_prefix("done: ")));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        steps(&answer.out),
        steps(&preview.out),
        "the preview shows the same plan"
    );
    assert_eq!(steps(&answer.out).len(), 5, "{}", answer.out);
    let url = stage.url();
    assert_eq!(
        stage.calls(),
        [
            format!("config.sh --unattended --url {url} --name base --work _work --labels self-hosted,gpu"),
            "svc.sh install root".to_owned(),
            "svc.sh start".to_owned(),
        ]
    );
    assert_eq!(stage.github().changes(), [TOKEN]);
    let environment = stage.record("config-environment");
    assert!(
        environment.contains(&format!("ACTIONS_RUNNER_INPUT_TOKEN={TOKEN_TEXT}\n")),
        "{environment}"
    );
    assert!(!environment.contains("hunter2-of-the-operator"), "{environment}");
    assert!(!format!("{}{}", answer.out, answer.err).contains(TOKEN_TEXT));

    let again = stage.assert_changes_nothing(&args, 0);
    assert!(again.out.contains("nothing is to be done"), "{}", again.out);
    let json = stage.run(&[&args[..], &["--json"]].concat()).json();
    assert_eq!((&json["changed"], &json["why"]), (&json!(false), &json!("a new disk")));
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_runner_is_registered_again_under_its_name_with_its_work_folder() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    fs::create_dir(stage.home().join("_own")).expect("a folder");
    fs::write(stage.home().join("_own/kept"), "").expect("a file");
    stage.assert_changes_nothing(&with(&["--dry-run"]), 0);
    let answer = stage.run(&REGISTER);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let calls = stage.calls();
    assert_eq!(calls[0], "svc.sh uninstall");
    assert!(calls[1].ends_with(" --name base --work _own"), "{calls:?}");
    assert_eq!(calls[2..], ["svc.sh install root", "svc.sh start"]);
    assert!(stage.home().join("_own/kept").exists(), "the work folder is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_fails_halfway_loses_neither_name_nor_work_folder() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage.let_be("config-fails");
    let answer = stage.run(&REGISTER);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(!stage.home().join(".runner").exists(), "config.sh needs its place");
    let preview = stage.run(&with(&["--dry-run"]));
    assert!(
        preview.out.contains("an earlier registration did not finish"),
        "{}",
        preview.out
    );
    stage.no_longer("config-fails");
    let answer = stage.run(&REGISTER);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let calls = stage.calls();
    let last = calls.iter().rfind(|call| call.starts_with("config.sh"));
    assert!(
        last.is_some_and(|call| call.ends_with(" --name base --work _own")),
        "{calls:?}"
    );
    let kept = fs::read_dir(stage.home()).expect("a folder").flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
    assert!(!kept.iter().any(|name| name == ".runner.before"), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_registration_takes_the_place_of_its_offline_record() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "failed");
    fs::write(stage.home().join(".runner"), "{\"agentId\": ").expect("a file");
    stage.inventory(&json!([Stage::runner(5, "base", "offline", false)]));
    let answer = stage.run(&with(&["--name", "base"]));
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let calls = stage.calls();
    assert!(
        calls[1].ends_with("--labels self-hosted,gpu --replace"),
        "the labels are kept: {calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_runner_needs_its_service_only() {
    let stage = Stage::set();
    for (unit, expected) in [
        ("active", &["svc.sh stop", "svc.sh start"][..]),
        ("inactive", &["svc.sh start"]),
    ] {
        stage.registered(&stage.url(), unit);
        stage.inventory(&json!([Stage::runner(77, "base", "offline", false)]));
        stage.assert_changes_nothing(&with(&["--dry-run"]), 0);
        let before = stage.calls().len();
        let answer = stage.run(&REGISTER);
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
        assert_eq!(stage.calls()[before..], *expected, "{unit}");
    }
    assert!(stage.github().changes().is_empty(), "no token is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_runners_and_jobs_are_not_harmed() {
    let stage = Stage::set();
    stage.registered("https://github.com/octo-org/other", "active");
    let answer = stage.assert_changes_nothing(&REGISTER, 1);
    assert!(
        answer
            .err
            .contains("is registered for https://github.com/octo-org/other"),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("--force"), "{}", answer.err);

    stage.registered(&stage.url(), "inactive");
    stage.inventory(&json!([Stage::runner(77, "base", "online", true)]));
    let answer = stage.assert_changes_nothing(&REGISTER, 1);
    assert!(answer.err.contains("executes a job"), "{}", answer.err);
    stage.inventory(&json!([Stage::runner(78, "base", "online", false)]));
    let answer = stage.assert_changes_nothing(&REGISTER, 1);
    assert!(answer.err.contains("remedy: stop the runner"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trust_label_and_a_name_that_is_not_known_are_reported() {
    let stage = Stage::set();
    let labels = ["--name", "base", "--labels", "chem-trusted-pr", "--dry-run"];
    let answer = stage.run(&with(&labels));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains("has the label chem-trusted-pr and no job gate"),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("runners.known and runners.base do not name it"),
        "{}",
        answer.err
    );
    assert!(
        !fs::read_to_string(stage.described.at("jitgate.toml"))
            .expect("a file")
            .contains("base")
    );

    let without = stage.run(&with(&["--name", "base", "--dry-run"]));
    assert!(!without.err.contains("chem-trusted-pr"), "{}", without.err);
    let listed = stage.run_with(&with(&labels), &[("JITGATE__RUNNERS__BASE", "base")]);
    assert!(!listed.err.contains("do not name it"), "{}", listed.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_github_has_a_remedy_and_changes_nothing() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    for operation in [LIST, TOKEN] {
        for fault in Fault::ALL {
            stage.github().fail(operation, fault);
            let files = stage.described.files();
            let answer = stage.run(&REGISTER);
            stage.github().heal();
            assert_eq!(answer.code, 4, "{operation} {fault:?}: {}{}", answer.out, answer.err);
            assert!(answer.err.contains("jitgate: remedy: "), "{}", answer.err);
            assert!(
                stage.described.files() == files && stage.calls().is_empty(),
                "{operation} {fault:?}"
            );
        }
    }
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_script_is_reported_and_the_next_run_continues() {
    let stage = Stage::set();
    let args = with(&["--name", "base"]);
    stage.let_be("config-fails");
    let answer = stage.run(&args);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(
        answer.err.contains("`config.sh` failed: Http response code: Forbidden"),
        "{}",
        answer.err
    );
    stage.no_longer("config-fails");
    stage.let_be("svc-fails");
    let answer = stage.run(&args);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.err.contains("svc.sh install root"), "{}", answer.err);
    stage.no_longer("svc-fails");
    let answer = stage.run(&args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(
        stage.github().changes(),
        [TOKEN, TOKEN],
        "the registration of the second run remains"
    );
    assert_eq!(stage.record("unit").trim(), "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_does_not_come_online_is_a_negative_answer() {
    let stage = Stage::set();
    stage.let_be("stays-offline");
    let answer = stage.run(&with(&["--name", "base", "--timeout", "1"]));
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(
        answer.err.contains("does not show runner base as online"),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("journalctl"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_its_remedy() {
    let stage = Stage::set();
    let answer = stage.run_without_root(&["runner", "register", "--runner-home", "home", "--name", "base"]);
    assert_eq!(answer.code, 6, "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("jitgate: remedy: "), "{}", answer.err);
    assert!(stage.calls().is_empty() && stage.github().changes().is_empty());

    let roots = stage.run(&REGISTER[..4]);
    assert_eq!(roots.code, 6, "{}", roots.err);
    assert!(roots.err.contains("jobs must not run as root"), "{}", roots.err);
    let unknown = stage.run(&[
        "runner",
        "register",
        "--runner-home",
        "home",
        "--service-user",
        "jitgate-nobody",
    ]);
    assert_eq!(unknown.code, 6, "{}", unknown.err);
    assert!(unknown.err.contains("no account jitgate-nobody"), "{}", unknown.err);
    let group = stage.run(&with(&["--group", "builders"]));
    assert_eq!(group.code, 2, "{}", group.err);
    let labels = stage.run(&with(&["--labels", "a,,b"]));
    assert_eq!(labels.code, 2, "{}", labels.err);

    fs::remove_file(stage.home().join("config.sh")).expect("a file");
    let answer = stage.run(&REGISTER);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.err.contains("releases/download/v2."), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_of_an_organization_is_registered_there() {
    let stage = Stage::set();
    stage.github().answer(
        "GET /orgs/{org}/actions/runners",
        200,
        json!({"total_count": 0, "runners": []}),
    );
    let args = with(&[
        "--scope",
        "org",
        "--group",
        "builders",
        "--name",
        "base",
        "--timeout",
        "1",
    ]);
    // The answer above does not change, so the runner does not come online.
    let answer = stage.run(&args);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert_eq!(
        stage.github().changes(),
        ["POST /orgs/{org}/actions/runners/registration-token"]
    );
    let calls = stage.calls();
    assert!(
        calls[0].contains(&format!("--url {}/octo-org ", stage.github().url())),
        "{calls:?}"
    );
    assert!(calls[0].contains("--runnergroup builders"), "{calls:?}");
    assert_eq!(stage.record("unit").trim(), "active", "{UNIT}");
    stage.github().assert_as_documented();
}
