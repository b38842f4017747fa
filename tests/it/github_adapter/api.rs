//! Each call of the port: the request it makes, and what each answer means.

use crate::support::scripted::{Asked, ManualClock, Scripted, adapter, json, repository, token};
use jitgate::adapters::github::GitHubAdapter;
use jitgate::domain::event::{JobStatus, MISSING_ATTEMPT};
use jitgate::domain::facts::{HeadRepository, Run, User};
use jitgate::domain::ids::{AccountId, JobId, RepositoryId, RunId, RunnerId};
use jitgate::domain::policy::Permission;
use jitgate::ports::github::{Changes, Deletion, JitOutcome, JitRequest, Purpose, RunCommand, RunnerScope};
use jitgate::ports::{Failure, GitHub};
use secrecy::ExposeSecret;
use serde_json::{Value, json as value};

/// A server with one answer for everything, and an adapter for it.
fn answering(status: u16, body: Value) -> (Scripted, GitHubAdapter) {
    let server = Scripted::bare(move |_| json(status, body.clone()));
    let github = adapter(&server, &ManualClock::new(), token());
    (server, github)
}

fn only(server: &Scripted) -> Asked {
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked[0].clone()
}

#[tokio::test]
async fn a_run_is_read_with_all_its_fields() {
    let (server, github) = answering(
        200,
        value!({
            "id": 5, "event": "pull_request", "path": ".github/workflows/ci.yml@main", "run_attempt": 2,
            "head_sha": "abc", "head_branch": "main", "created_at": "2026-11-23T10:00:00Z",
            "actor": {"login": "ann", "type": "User", "id": 1}, "triggering_actor": {"login": "dependabot[bot]", "type": "Bot"},
            "repository": {"id": 1, "owner": {"id": 9}}, "head_repository": {"id": 2, "fork": true, "owner": {"login": "mallory"}},
            "pull_requests": [{"unexpected": true}],
        }),
    );
    let run = github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("an answer")
        .expect("a run");
    let user = |login: &str, kind: &str| {
        Some(User {
            login: login.to_owned(),
            kind: kind.to_owned(),
        })
    };
    let expected = Run {
        event: "pull_request".to_owned(),
        path: ".github/workflows/ci.yml@main".to_owned(),
        run_attempt: 2,
        head_sha: "abc".to_owned(),
        head_branch: Some("main".to_owned()),
        created_at: Some("2026-11-23T10:00:00Z".parse().expect("a time")),
        actor: user("ann", "User"),
        triggering_actor: user("dependabot[bot]", "Bot"),
        repository_id: RepositoryId(1),
        repository_owner_id: Some(AccountId(9)),
        head_repository: Some(HeadRepository {
            id: RepositoryId(2),
            owner: "mallory".to_owned(),
        }),
        private: None,
    };
    assert_eq!(run, expected);
    assert_eq!(only(&server).authorization.as_deref(), Some("Bearer ghp_fixed"));
}

#[tokio::test]
async fn a_run_full_of_nulls_is_a_run_without_trusted_people() {
    let nulls = value!({
        "event": "pull_request", "path": null, "run_attempt": null, "head_sha": "abc", "head_branch": null,
        "created_at": null, "actor": null, "triggering_actor": {"login": null, "type": null},
        "repository": {"id": 1}, "head_repository": null, "pull_requests": null,
    });
    for body in [
        nulls,
        value!({"event": "pull_request", "head_sha": "abc", "repository": {"id": 1}}),
    ] {
        let (_server, github) = answering(200, body);
        let run = github
            .run(&repository(), RunId(5), Purpose::Judge)
            .await
            .expect("an answer")
            .expect("a run");
        assert_eq!((run.run_attempt, run.path.as_str()), (1, ""));
        assert_eq!(
            (run.actor, run.triggering_actor, run.head_repository),
            (None, None, None)
        );
    }
}

#[tokio::test]
async fn no_such_thing_and_no_answer_are_never_mixed_up() {
    let (_server, github) = answering(404, value!({"message": "Not Found"}));
    let repository = repository();
    assert_eq!(github.run(&repository, RunId(5), Purpose::Judge).await, Ok(None));
    assert_eq!(github.job(&repository, JobId(5), Purpose::Judge).await, Ok(None));
    assert_eq!(github.variable(&repository, "V", Purpose::Judge).await, Ok(None));
    assert_eq!(github.permission(&repository, "ann", Purpose::Judge).await, Ok(None));

    let odd = [
        (200, value!("what?")),
        (200, value!({})),
        (204, Value::Null),
        (500, Value::Null),
        (408, Value::Null),
        (304, Value::Null),
    ];
    for (status, body) in odd {
        let (_server, github) = answering(status, body);
        let run = github.run(&repository, RunId(5), Purpose::Judge).await;
        let Err(Failure::Transient(text)) = run else {
            panic!("{run:?}");
        };
        assert!(text.starts_with("GET /repos/octo/chem/actions/runs/5: "), "{text}");
    }
}

#[tokio::test]
async fn a_fork_and_its_parent_with_the_same_branch_are_distinguished() {
    let pull = |number: u64, repo: Value| {
        value!({"number": number, "state": "open", "head": {"sha": "abc", "repo": repo},
                "user": {"login": "ann", "type": "User"}, "author_association": "MEMBER"})
    };
    let body = value!([
        pull(1, value!({"id": 1})),
        pull(2, value!({"id": 2})),
        pull(3, Value::Null)
    ]);
    let (server, github) = answering(200, body);
    let found = github
        .pulls_of_head(&repository(), "octo", "feat/a&b#ü", RepositoryId(1), Purpose::Judge)
        .await;
    let numbers: Vec<u64> = found.expect("a list").iter().map(|pull| pull.number).collect();
    assert_eq!(numbers, [1]);
    assert_eq!(
        only(&server).query,
        "state=all&head=octo%3Afeat%2Fa%26b%23%C3%BC&per_page=100&page=1"
    );
}

#[tokio::test]
async fn pull_requests_are_paged_through_to_the_last() {
    let server = Scripted::bare(|asked| {
        let last = asked.query.ends_with("page=3");
        let pull = value!({"number": 1, "state": null, "head": {"sha": "a", "repo": {"id": 1}}, "user": null});
        json(200, Value::Array(vec![pull; if last { 7 } else { 100 }]))
    });
    let github = adapter(&server, &ManualClock::new(), token());
    let found = github
        .pulls_of_head(&repository(), "octo", "main", RepositoryId(1), Purpose::Judge)
        .await
        .expect("a list");
    assert_eq!((found.len(), server.asked().len()), (207, 3));
    assert_eq!(
        (
            found[0].open,
            found[0].author.clone(),
            found[0].author_association.as_str()
        ),
        (false, None, "NONE")
    );
}

#[tokio::test]
async fn changed_files_are_read_until_one_decides() {
    let file = |name: &str, before: Value| value!({"filename": name, "previous_filename": before, "patch": "@@"});
    let cases = [
        (vec![file("src/a.rs", Value::Null)], false),
        (vec![file(".github/workflows/ci.yml", Value::Null)], true),
        (vec![file("docs/ci.yml", value!(".github/workflows/ci.yml"))], true),
        (vec![file("docs/.github/x", Value::Null)], false),
        (vec![], false),
    ];
    for (files, expected) in cases {
        let (server, github) = answering(200, Value::Array(files));
        assert_eq!(
            github.pull_changes(&repository(), 7, ".github/", Purpose::Judge).await,
            Ok(Changes {
                touches: expected,
                pages: 1
            })
        );
        assert_eq!(only(&server).line(), "GET /repos/octo/chem/pulls/7/files");
    }
}

#[tokio::test]
async fn a_pull_request_that_github_does_not_list_in_full_counts_as_changing_everything() {
    let full_page = Value::Array(vec![value!({"filename": "src/a.rs"}); 100]);
    let (server, github) = answering(200, full_page);
    assert_eq!(
        github.pull_changes(&repository(), 7, ".github/", Purpose::Judge).await,
        Ok(Changes {
            touches: true,
            pages: 30
        })
    );
    assert_eq!(server.asked().len(), 30, "3000 files, and no page beyond");

    let (_server, github) = answering(
        422,
        value!({"message": "Sorry, this diff is taking too long to generate."}),
    );
    assert_eq!(
        github.pull_changes(&repository(), 7, ".github/", Purpose::Judge).await,
        Ok(Changes {
            touches: true,
            pages: 1
        })
    );
}

#[tokio::test]
async fn permissions_are_read_in_githubs_words_and_an_unknown_word_grants_nothing() {
    let words = [
        ("admin", Permission::Admin),
        ("write", Permission::Write),
        ("read", Permission::Read),
        ("none", Permission::None),
        ("owner", Permission::None),
    ];
    for (word, expected) in words {
        let (server, github) = answering(200, value!({"permission": word, "role_name": "admin", "user": null}));
        assert_eq!(
            github.permission(&repository(), "a/../b[bot]", Purpose::Judge).await,
            Ok(Some(expected))
        );
        let asked = only(&server);
        assert!(
            asked.path.contains("/collaborators/a%2F..%2Fb%5Bbot%5D/permission"),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_job_without_a_runner_has_none() {
    for (runner_id, expected) in [(Value::Null, None), (value!(0), None), (value!(9), Some(RunnerId(9)))] {
        let (_server, github) = answering(
            200,
            value!({"id": 5, "run_id": 6, "status": "queued", "runner_id": runner_id, "runner_name": ""}),
        );
        let job = github
            .job(&repository(), JobId(5), Purpose::Admit)
            .await
            .expect("an answer");
        let job = job.expect("a job");
        assert_eq!(
            (job.id, job.run_id, job.run_attempt),
            (JobId(5), RunId(6), MISSING_ATTEMPT)
        );
        assert_eq!(job.status, JobStatus::Queued);
        assert_eq!(job.runner.map(|runner| runner.id), expected);
    }
}

#[tokio::test]
async fn a_variable_is_changed_or_made() {
    let (server, github) = answering(204, Value::Null);
    github
        .set_variable(&repository(), "ROUTING", "false")
        .await
        .expect("a change");
    assert_eq!(only(&server).line(), "PATCH /repos/octo/chem/actions/variables/ROUTING");

    let server = Scripted::bare(|asked| json(if asked.method == "PATCH" { 404 } else { 201 }, Value::Null));
    let github = adapter(&server, &ManualClock::new(), token());
    github
        .set_variable(&repository(), "ROUTING", "false")
        .await
        .expect("a new one");
    let asked = server.asked();
    assert_eq!(asked[1].line(), "POST /repos/octo/chem/actions/variables");
    assert_eq!(asked[1].body, value!({"name": "ROUTING", "value": "false"}));

    let (_server, github) = answering(403, value!({"message": "Resource not accessible by integration"}));
    let refused = github.set_variable(&repository(), "ROUTING", "false").await;
    assert!(matches!(refused, Err(Failure::Permanent(_))), "{refused:?}");
}

#[tokio::test]
async fn runs_are_cancelled_and_run_again() {
    let repository = repository();
    let (server, github) = answering(202, value!({}));
    assert_eq!(github.cancel_run(&repository, RunId(5)).await, Ok(RunCommand::Accepted));
    assert_eq!(
        github.force_cancel_run(&repository, RunId(5)).await,
        Ok(RunCommand::Accepted)
    );
    assert_eq!(github.rerun_run(&repository, RunId(5)).await, Ok(RunCommand::Accepted));
    let verbs: Vec<String> = server.asked().iter().map(Asked::line).collect();
    let line = |verb: &str| format!("POST /repos/octo/chem/actions/runs/5/{verb}");
    assert_eq!(verbs, ["cancel", "force-cancel", "rerun"].map(line));

    let (_server, github) = answering(
        409,
        value!({"message": "Cannot cancel a workflow run that is completed."}),
    );
    assert_eq!(github.cancel_run(&repository, RunId(5)).await, Ok(RunCommand::TooLate));
    let (_server, github) = answering(404, Value::Null);
    assert_eq!(github.cancel_run(&repository, RunId(5)).await, Ok(RunCommand::Gone));
    let (_server, github) = answering(403, value!({"message": "This workflow is already running"}));
    assert_eq!(github.rerun_run(&repository, RunId(5)).await, Ok(RunCommand::TooLate));
    let (_server, github) = answering(403, value!({"message": "Resource not accessible by integration"}));
    let refused = github.rerun_run(&repository, RunId(5)).await;
    assert!(matches!(refused, Err(Failure::Permanent(_))), "{refused:?}");
}

#[tokio::test]
async fn a_jit_runner_is_made_with_exactly_the_labels_asked_for() {
    let (server, github) = answering(
        201,
        value!({"runner": {"id": 9, "name": "chem-jit-1"}, "encoded_jit_config": "c2VjcmV0"}),
    );
    let request = JitRequest {
        name: "chem-jit-1".to_owned(),
        runner_group_id: 3,
        labels: vec!["Self-Hosted".to_owned(), "chem-run-5".to_owned()],
    };
    let outcome = github
        .generate_jit(&RunnerScope::Organization(repository()), &request)
        .await
        .expect("an answer");
    let JitOutcome::Made(runner) = &outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((runner.id, runner.config.expose_secret()), (RunnerId(9), "c2VjcmV0"));
    assert!(!format!("{outcome:?}").contains("c2VjcmV0"));
    let asked = only(&server);
    assert_eq!(asked.line(), "POST /orgs/octo/actions/runners/generate-jitconfig");
    assert_eq!(
        asked.body,
        value!({"name": "chem-jit-1", "runner_group_id": 3, "labels": ["Self-Hosted", "chem-run-5"]})
    );

    for status in [404, 422] {
        let (_server, github) = answering(
            status,
            value!({"message": format!("bad\r\n\u{7}label {}", "x".repeat(999))}),
        );
        let outcome = github
            .generate_jit(&RunnerScope::Repository(repository()), &request)
            .await;
        let Ok(JitOutcome::Refused(why)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains("badlabel xxx") && why.len() < 400, "{why}");
    }
}

#[tokio::test]
async fn runners_are_found_by_their_exact_name_and_deleted() {
    let scope = RunnerScope::Repository(repository());
    let (server, github) = answering(
        200,
        value!({"total_count": 2, "runners": [
            {"id": 1, "name": "chem-jit-1", "status": "online", "busy": true, "labels": []},
            {"id": 2, "name": "chem-jit-11", "status": "offline", "busy": false},
        ]}),
    );
    let found = github.runners_named(&scope, "chem-jit-1").await.expect("a list");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].online, found[0].busy), (RunnerId(1), true, true));
    assert_eq!(only(&server).query, "name=chem-jit-1&per_page=100");

    for (status, expected) in [(204, Deletion::Gone), (404, Deletion::Gone), (422, Deletion::Busy)] {
        let (server, github) = answering(status, Value::Null);
        assert_eq!(github.delete_runner(&scope, RunnerId(1)).await, Ok(expected));
        assert_eq!(only(&server).line(), "DELETE /repos/octo/chem/actions/runners/1");
    }
}

#[tokio::test]
async fn a_simulated_github_is_detected_without_a_credential() {
    let cases = [
        (200, value!({"simulator": "jitgate"}), true),
        (200, value!({"verifiable_password_authentication": true}), false),
        (401, Value::Null, false),
        (404, Value::Null, false),
    ];
    for (status, body, expected) in cases {
        let (server, github) = answering(status, body);
        assert_eq!(github.is_simulated().await, Ok(expected));
        assert_eq!(github.reachable().await, Ok(()));
        assert!(server.asked().iter().all(|asked| asked.authorization.is_none()));
    }
}
