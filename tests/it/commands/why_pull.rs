//! `jitgate why --pr`: what would happen to a job, before there is one, by the rules of the gate.

use super::stage::{Answer, Stage};
use crate::support::command;
use crate::support::in_process::{REPOSITORY, VARIABLE};
use serde_json::{Value, json};

/// A stage with further pull requests: of an outsider's branch, of a reader, of a closed one.
async fn stage() -> Stage {
    let stage = Stage::set().await;
    stage
        .world(json!({
            "pulls": [
                {"number": 9, "author": "eve", "association": "CONTRIBUTOR", "head": {"branch": "eve", "sha": "eve1"}},
                {"number": 10, "author": "rita", "head": {"branch": "rita", "sha": "rita1"}},
                {"number": 11, "author": "alice", "state": "closed", "head": {"branch": "old", "sha": "old1"}},
            ],
            "runs": [
                {"id": 90, "pull": 9, "jobs": [{"id": 901, "name": "web"}]},
                {"id": 100, "pull": 10, "jobs": [{"id": 1001, "name": "web"}]},
                {"id": 110, "pull": 11, "jobs": [{"id": 1101, "name": "web"}]},
            ],
            "permissions": {"rita": "read"},
        }))
        .await;
    stage
}

fn preview(stage: &Stage, number: u64) -> Value {
    stage.jitgate(&["why", "--pr", &number.to_string(), "--json"]).json()
}

/// The verdicts of a decision.
fn verdicts(decision: &Value) -> Value {
    let part = |name: &str| decision[name].clone();
    json!([
        part("labels_class"),
        part("trust"),
        part("routing"),
        part("admission"),
        part("actions"),
        part("author")
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_imagined_job_is_decided_as_the_real_one() {
    let stage = stage().await;
    let mut settled = 0;
    // The job of 9 is a misroute and switches routing off, so it is the last one.
    for (number, job, trust, reason) in [
        (7, 101, "trusted", Value::Null),
        (10, 1001, "trusted", json!("author-permission:read")),
        (11, 1101, "trusted", json!("pull-request-closed")),
        (8, 102, "untrusted", json!("fork")),
        (9, 901, "untrusted", json!("association:CONTRIBUTOR")),
    ] {
        let shown = preview(&stage, number);
        assert_eq!(
            (
                &shown["repository"],
                &shown["pull_request"]["number"],
                &shown["trust"]["verdict"]
            ),
            (&json!(REPOSITORY), &json!(number), &json!(trust)),
        );
        assert_eq!(shown["from_fork"], number == 8);
        let imagined = &shown["imagined"][0];
        assert_eq!(imagined["admission"]["reasons"][0], reason, "{number}: {imagined}");
        let known = &shown["jobs"][0];
        assert_eq!((&known["id"], &known["source"]), (&json!(job), &json!("now")));
        assert_eq!(shown["jobs"].as_array().map(Vec::len), Some(1));
        assert_eq!(verdicts(&known["decision"]), verdicts(imagined), "{number}");

        stage.deliver(&format!("guid-{job}"), "queued", job).await;
        stage.work().await;
        let story = stage.ask_json(&format!("/api/v1/jobs/{job}")).await;
        let first = verdicts(&story["history"][0]);
        // GitHub's lists may lag behind a delivery for seconds, and a preview does not wait for that.
        if first[3]["verdict"] != "hold" && first[1]["verdict"] != "unknown" {
            assert_eq!(first, verdicts(imagined), "{number}");
            settled += 1;
        }
        let recorded = preview(&stage, number);
        assert_eq!(recorded["jobs"][0]["source"], "recorded");
    }
    assert!(settled >= 2, "the gate decided the trusted job and the fork's at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_stores_nothing_and_changes_nothing() {
    let stage = stage().await;
    let before = stage.tally().await;
    preview(&stage, 7);
    preview(&stage, 8);
    assert_eq!(stage.jitgate(&["why", "101"]).code, 1, "no record of the job");
    assert_eq!(stage.jitgate(&["alert", "list", "--json"]).json()["alerts"], json!([]));
    assert_eq!(
        stage.jitgate(&["changes", "list", "--json"]).json()["changes"],
        json!([])
    );
    let after = stage.tally().await;
    assert_eq!((after.minted, after.variables), (before.minted, before.variables));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_job_of_a_trusted_pull_request_depends_on_the_variable() {
    let stage = stage().await;
    let routing = |shown: &Value| [0, 1].map(|job| shown["imagined"][job]["routing"]["verdict"].clone());
    let shown = preview(&stage, 7);
    assert_eq!(shown["imagined"][1]["labels_class"], "hosted");
    assert_eq!(routing(&shown), [json!("correct"), json!("not-routed")]);
    stage.world(json!({"variables": {VARIABLE: "false"}})).await;
    assert_eq!(routing(&preview(&stage, 7)), [json!("drain"), json!("correct")]);

    let told = stage.jitgate(&["why", "--pr", "8"]);
    for part in [
        "pull request #8 of octo-org/chem-model  open, by mallory, from a fork",
        "with the labels self-hosted, linux, x64, chem-trusted-pr would be decided so",
        "with the labels ubuntu-latest would be decided so",
        "trust      untrusted, pull request #8 by mallory: fork, association:NONE",
        "because    fork: The commit of the run comes from a fork.",
        "job 102  \\u001b[31mweb  of run 30, queued: no record; decided now",
    ] {
        assert!(told.out.contains(part), "{part:?} is not in\n{}", told.out);
    }
    assert!(!told.out.contains('\u{1b}'), "nothing steers the terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_in_the_store_is_part_of_the_answer() {
    let stage = stage().await;
    assert_eq!(stage.jitgate(&["routing", "disable", "--hard"]).code, 0);
    let shown = preview(&stage, 7);
    let admission = &shown["imagined"][0]["admission"];
    assert_eq!(*admission, json!({"verdict": "deny", "reasons": ["stopped"]}));
}

/// A command without a configuration file.
fn bare(args: &[&str], settings: &[(&str, &str)]) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    Answer::of(
        command::jitgate(args)
            .current_dir(folder.path())
            .envs(settings.iter().copied()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_has_a_remedy() {
    let stage = stage().await;
    let unknown = stage.jitgate(&["why", "--pr", "99"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (4, ""));
    assert!(
        unknown.err.contains("GitHub knows no pull request 99") && unknown.err.contains("remedy: check the number"),
        "{}",
        unknown.err
    );
    for (args, code, part) in [
        (&["why"][..], 2, "<JOB_ID>"),
        (&["why", "101", "--pr", "7"], 2, "cannot be used with"),
        (&["why", "--pr", "0"], 2, "--pr"),
        (&["why", "101", "--repo", REPOSITORY], 2, "--repo belongs to --pr"),
        (
            &["why", "--pr", "7", "--repo", "octo-org/other"],
            3,
            "is not configured",
        ),
    ] {
        let refused = stage.jitgate(args);
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (code, ""),
            "{args:?}: {}",
            refused.err
        );
        assert!(refused.err.contains(part), "{args:?}: {}", refused.err);
    }
    let configured = [("JITGATE__REPOSITORIES", REPOSITORY)];
    let refused = bare(&["why", "--pr", "7"], &configured);
    assert_eq!((refused.code, refused.out.as_str()), (3, ""), "{}", refused.err);
    assert!(
        refused.err.contains("remedy: use --token-env-var GH_TOKEN"),
        "{}",
        refused.err
    );

    // Without a store the answer says what it lacks.
    let api = stage.simulator.url().to_owned();
    let with_token = [
        configured[0],
        ("JITGATE__GITHUB__API_URL", api.as_str()),
        ("GH_TOKEN", super::stage::TOKEN),
    ];
    let answered = bare(&["why", "--pr", "7", "--json"], &with_token);
    assert_eq!(answered.json()["trust"]["verdict"], "trusted");
    assert!(
        answered
            .err
            .contains("a rollback, a stop and a quarantine are not known"),
        "{}",
        answered.err
    );

    for (endpoint, status) in [
        ("get-pull", 401),
        ("get-pull", 403),
        ("get-pull", 503),
        ("list-runs", 500),
        ("get-variable", 403),
    ] {
        let fault = json!({"faults": [{"endpoint": endpoint, "status": status, "times": 99}]});
        stage.world(fault).await;
        let failed = stage.jitgate(&["why", "--pr", "7"]);
        assert_eq!(failed.code, 4, "{endpoint} {status}: {}", failed.err);
        assert!(
            failed.err.contains("jitgate: remedy: "),
            "{endpoint} {status}: {}",
            failed.err
        );
        stage
            .world(json!({"faults": [{"endpoint": endpoint, "times": 0, "status": status}]}))
            .await;
    }
}
