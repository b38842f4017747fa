//! `jitgate runner recover`: restart, registration, and the wait for health.

use super::stage::{LIST, Stage, TOKEN, UNIT};
use serde_json::{Value, json};

const RECOVER: [&str; 6] = ["runner", "recover", "--runner-home", "home", "--service-user", "root"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RECOVER[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_down_is_restarted() {
    let stage = Stage::set();
    for (unit, status) in [("failed", "online"), ("active", "offline")] {
        stage.registered(&stage.url(), unit);
        stage.inventory(&json!([Stage::runner(77, "base", status, false)]));
        let preview = stage.assert_changes_nothing(&with(&["--dry-run"]), 0);
        assert!(
            preview.out.contains(&format!("would run systemctl restart {UNIT}")),
            "{}",
            preview.out
        );
        let before = stage.calls().len();
        let answer = stage.run(&RECOVER);
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
        assert_eq!(
            stage.calls()[before..],
            [format!("systemctl restart --no-ask-password -- {UNIT}")]
        );
    }
    let again = stage.assert_changes_nothing(&RECOVER, 0);
    assert!(again.out.contains("nothing is to be done"), "{}", again.out);
    assert!(stage.github().changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_github_does_not_have_is_registered_with_the_variables_of_the_old_script() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    let settings = [
        ("RUNNER_OWNER", "octo-org"),
        ("RUNNER_REPO", "octo-repo"),
        ("RUNNER_LABELS", "self-hosted,linux,gpu"),
        ("RUNNER_GROUP", "Default"),
    ];
    let answer = stage.run_with(&RECOVER, &settings);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let calls = stage.calls();
    assert_eq!(calls[0], "svc.sh uninstall");
    assert!(
        calls[1].ends_with("--name base --work _own --labels self-hosted,linux,gpu"),
        "{calls:?}"
    );
    assert_eq!(stage.github().changes(), [TOKEN]);
    let again = stage.run_with(&RECOVER, &settings);
    assert!(
        again.out.contains("nothing is to be done"),
        "{}{}",
        again.out,
        again.err
    );
    // A flag counts more than a variable.
    let group = stage.run_with(&with(&["--group", "builders", "--dry-run"]), &settings);
    assert_eq!(group.code, 2, "{}", group.err);
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_service_is_installed_again() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage.no_longer("unit");
    stage.inventory(&json!([Stage::runner(77, "base", "offline", false)]));
    let answer = stage.run(&RECOVER);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert_eq!(
        stage.calls(),
        ["svc.sh uninstall", "svc.sh install root", "svc.sh start"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_with_a_job_is_left_alone() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage.inventory(&json!([Stage::runner(77, "base", "offline", true)]));
    let answer = stage.assert_changes_nothing(&with(&["--timeout", "1"]), 1);
    assert!(answer.err.contains("executes a job"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_stays_offline_is_a_negative_answer() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage.inventory(&json!([Stage::runner(77, "base", "offline", false)]));
    stage.let_be("stays-offline");
    let answer = stage.run(&[&with(&["--timeout", "1"])[..], &["--json"]].concat());
    assert_eq!(answer.code, 1, "{}", answer.err);
    let json: Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!((&json["healthy"], &json["changed"]), (&json!(false), &json!(true)));
    assert_eq!(json["problems"][0]["subject"], "base");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_a_remedy_and_services_require_root() {
    let stage = Stage::set();
    stage.registered(&stage.url(), "active");
    stage.inventory(&json!([Stage::runner(77, "base", "offline", false)]));
    for fault in crate::support::openapi::Fault::ALL {
        stage.github().fail(LIST, fault);
        let answer = stage.assert_changes_nothing(&RECOVER, 4);
        stage.github().heal();
        assert!(answer.err.contains("jitgate: remedy: "), "{fault:?}: {}", answer.err);
    }
    let answer = stage.run_without_root(&RECOVER);
    assert_eq!(answer.code, 6, "{}{}", answer.out, answer.err);
    assert!(answer.err.contains("sudo jitgate runner recover"), "{}", answer.err);
    assert!(answer.err.contains("chem-runner-recovery.service"), "{}", answer.err);
    assert!(stage.calls().is_empty());
}
