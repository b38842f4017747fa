//! Holds the simulator against GitHub's own words: every answer and every payload fits GitHub's description, and GitHub's
//! sample payloads are read by the gate. So neither side is our imagination.

use crate::support::description::{Description, npm_file};
use crate::support::simulator::{Answer, REPO, Stage};
use chrono::TimeDelta;

use jitgate::domain::payload::{self, Parsed};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A world with something of everything.
fn world() -> Value {
    json!({
        "repositories": [{"full_name": "octo-org/chem-model"}, {"full_name": "octo-org/hidden", "private": true}],
        "pulls": [
            {"number": 7, "author": "alice", "head": {"branch": "topic"}, "files": ["src/lib.rs", "src/new.rs <- src/old.rs"]},
            {"number": 8, "author": "mallory", "association": "NONE", "state": "closed",
             "head": {"repository": "mallory/chem-model", "branch": "main"}},
            {"number": 9, "author": "gone", "head": {"repository": "gone/chem-model", "branch": "main"}},
        ],
        "users": [{"login": "gone", "deleted": true}, {"login": "renovate[bot]"}],
        "forks": [{"full_name": "gone/chem-model", "deleted": true}],
        "runs": [
            {"id": 20, "pull": 7, "jobs": [
                {"id": 101},
                {"id": 102, "status": "completed", "conclusion": "success"},
                {"id": 103, "status": "waiting"},
                {"id": 104, "status": "completed", "conclusion": "skipped", "labels": []},
            ]},
            {"id": 21, "pull": 8, "jobs": [{"id": 110, "status": "completed", "conclusion": "failure"}]},
            {"id": 23, "pull": 9, "jobs": []},
            {"id": 22, "event": "push", "actor": "renovate[bot]", "jobs": [{"id": 120, "duration_s": 3600}]},
        ],
        "permissions": {"alice": "write"},
        "variables": {"ROUTING": "true"},
    })
}

/// Places where GitHub gives null once the repository is deleted, which its description does not say.
const NULL_WHEN_DELETED: [&str; 2] = [
    "/head/repo: value is not of type",
    "/head_repository: value is not of type",
];

/// Calls endpoints and holds each answer against the description.
struct Inspector {
    stage: Stage,
    description: Description,
    seen: BTreeSet<(String, String)>,
}

impl Inspector {
    /// Calls the endpoint of a path template; its variables are filled from `args` in order, `query` follows.
    async fn call(
        &mut self,
        method: Method,
        template: &str,
        args: &[&str],
        body: Option<Value>,
        status: u16,
    ) -> Answer {
        let mut path = String::new();
        let mut args = args.iter();
        let (bare, query) = template.split_once('?').unwrap_or((template, ""));
        for part in bare.split('/').skip(1) {
            let part = if part.starts_with('{') {
                args.next().expect("one for each variable")
            } else {
                part
            };
            path = format!("{path}/{part}");
        }
        let app = format!("Bearer {}", self.stage.app_token());
        let as_app = bare.starts_with("/app") || bare.ends_with("/installation");
        let headers: &[(&str, &str)] = if as_app { &[("authorization", &app)] } else { &[] };
        let answer = self
            .stage
            .try_call(method.clone(), &format!("{path}?{query}"), headers, body)
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        self.seen.insert((method.to_string(), bare.to_owned()));
        self.hold(method.as_str(), bare, &answer);
        answer
    }

    fn hold(&self, method: &str, template: &str, answer: &Answer) {
        let schema = match self.description.answer(method, template, answer.status) {
            Ok(schema) => schema,
            // Refusals that hold for every endpoint are not described at each.
            Err(_) if matches!(answer.status, 401 | 403 | 404 | 409) => Some(Description::named("basic-error")),
            Err(problem) => panic!("{problem}"),
        };
        match schema {
            Some(schema) => {
                assert_eq!(
                    answer.header("content-type"),
                    "application/json; charset=utf-8",
                    "{method} {template}"
                );
                let mut problems = self.description.problems(&schema, &answer.body);
                problems.retain(|problem| !NULL_WHEN_DELETED.iter().any(|place| problem.contains(place)));
                assert!(
                    problems.is_empty(),
                    "{method} {template}:
{}",
                    problems.join(
                        "
"
                    )
                );
            }
            None => assert!(answer.body.is_null(), "{method} {template} has a body: {}", answer.body),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_github_describes() {
    const REPO: [&str; 2] = ["octo-org", "chem-model"];
    let stage = Stage::with(world()).await;
    let mut github = Inspector {
        stage,
        description: Description::of_the_api(),
        seen: BTreeSet::new(),
    };
    let repo = |more: &[&'static str]| -> Vec<&'static str> { REPO.iter().chain(more).copied().collect() };
    let labels = json!(["self-hosted", "linux", "x64", "chem-trusted-pr"]);

    for (template, args) in [
        ("/meta", vec![]),
        ("/rate_limit", vec![]),
        ("/app", vec![]),
        ("/app/hook/config", vec![]),
        ("/orgs/{org}/installation", vec!["octo-org"]),
        ("/users/{username}/installation", vec!["octo-org"]),
        ("/repos/{owner}/{repo}/installation", repo(&[])),
        ("/repos/{owner}/{repo}", repo(&[])),
        ("/repos/{owner}/{repo}", vec!["octo-org", "hidden"]),
        (
            "/repos/{owner}/{repo}/collaborators/{username}/permission",
            repo(&["alice"]),
        ),
        (
            "/repos/{owner}/{repo}/collaborators/{username}/permission",
            repo(&["nobody"]),
        ),
        ("/repos/{owner}/{repo}/pulls?state=all", repo(&[])),
        ("/repos/{owner}/{repo}/pulls/{pull_number}", repo(&["7"])),
        ("/repos/{owner}/{repo}/pulls/{pull_number}", repo(&["8"])),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/files", repo(&["7"])),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/commits", repo(&["7"])),
        ("/repos/{owner}/{repo}/issues/{issue_number}/events", repo(&["7"])),
        ("/repos/{owner}/{repo}/actions/variables/{name}", repo(&["ROUTING"])),
        ("/repos/{owner}/{repo}/actions/runs", repo(&[])),
        ("/repos/{owner}/{repo}/actions/runs?status=queued", repo(&[])),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}", repo(&["20"])),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}", repo(&["21"])),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}", repo(&["22"])),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}", repo(&["23"])),
        (
            "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}",
            repo(&["20", "1"]),
        ),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", repo(&["20"])),
        ("/repos/{owner}/{repo}/actions/jobs/{job_id}", repo(&["102"])),
    ] {
        github.call(Method::GET, template, &args, None, 200).await;
    }
    let sha = github
        .call(
            Method::GET,
            "/repos/{owner}/{repo}/pulls/{pull_number}",
            &repo(&["7"]),
            None,
            200,
        )
        .await;
    let sha = sha.body["head"]["sha"].as_str().expect("a sha").to_owned();
    let of_commit = "/repos/{owner}/{repo}/commits/{commit_sha}/pulls";
    let found = github
        .call(Method::GET, of_commit, &[REPO[0], REPO[1], &sha], None, 200)
        .await;
    assert_eq!(found.body[0]["number"], 7);

    // Tokens.
    let installation = github
        .call(Method::GET, "/repos/{owner}/{repo}/installation", &repo(&[]), None, 200)
        .await;
    let installation = installation.body["id"].to_string();
    let tokens = "/app/installations/{installation_id}/access_tokens";
    github.call(Method::POST, tokens, &[&installation], None, 201).await;
    let wanted = json!({"repositories": ["chem-model"], "permissions": {"administration": "write"}});
    github
        .call(Method::POST, tokens, &[&installation], Some(wanted), 201)
        .await;
    github
        .call(
            Method::POST,
            tokens,
            &[&installation],
            Some(json!({"repositories": ["other"]})),
            422,
        )
        .await;

    github
        .call(
            Method::GET,
            "/app/installations/{installation_id}",
            &[&installation],
            None,
            200,
        )
        .await;

    // The app's webhook, and a new app.
    let hook = json!({"url": "https://gate.example.com/webhooks/github", "content_type": "json", "secret": "s"});
    github
        .call(Method::PATCH, "/app/hook/config", &[], Some(hook), 200)
        .await;
    github.call(Method::GET, "/app/hook/config", &[], None, 200).await;
    let conversion = "/app-manifests/{code}/conversions";
    let code = new_app(&github.stage).await;
    github.call(Method::POST, conversion, &[&code], None, 201).await;
    github.call(Method::POST, conversion, &[&code], None, 404).await;

    // Variables.
    let variable = "/repos/{owner}/{repo}/actions/variables/{name}";
    let made = json!({"name": "NEW", "value": "1"});
    github
        .call(
            Method::POST,
            "/repos/{owner}/{repo}/actions/variables",
            &repo(&[]),
            Some(made.clone()),
            201,
        )
        .await;
    github
        .call(
            Method::POST,
            "/repos/{owner}/{repo}/actions/variables",
            &repo(&[]),
            Some(made),
            409,
        )
        .await;
    github
        .call(
            Method::PATCH,
            variable,
            &repo(&["NEW"]),
            Some(json!({"value": "2"})),
            204,
        )
        .await;
    github.call(Method::DELETE, variable, &repo(&["NEW"]), None, 204).await;
    github.call(Method::GET, variable, &repo(&["NEW"]), None, 404).await;

    // Runners.
    for (prefix, scope) in [("/repos/{owner}/{repo}", &REPO[..]), ("/orgs/{org}", &REPO[..1])] {
        let jit = format!("{prefix}/actions/runners/generate-jitconfig");
        let wanted = json!({"name": "ours", "runner_group_id": 1, "labels": labels});
        let made = github.call(Method::POST, &jit, scope, Some(wanted.clone()), 201).await;
        github.call(Method::POST, &jit, scope, Some(wanted), 409).await;
        github
            .call(
                Method::POST,
                &jit,
                scope,
                Some(json!({"name": "a", "runner_group_id": 1, "labels": []})),
                422,
            )
            .await;
        let downloads = format!("{prefix}/actions/runners/downloads");
        github.call(Method::GET, &downloads, scope, None, 200).await;
        let token = format!("{prefix}/actions/runners/registration-token");
        github.call(Method::POST, &token, scope, None, 201).await;
        let (id, list) = (
            made.body["runner"]["id"].to_string(),
            format!("{prefix}/actions/runners"),
        );
        assert!(github.stage.online(id.parse().expect("an id")).await.is_some());
        let one = format!("{list}/{{runner_id}}");
        let of_one: Vec<&str> = scope.iter().copied().chain([id.as_str()]).collect();
        github.call(Method::GET, &list, scope, None, 200).await;
        github.call(Method::GET, &one, &of_one, None, 200).await;
        github.call(Method::DELETE, &one, &of_one, None, 422).await;
        github.stage.offline(id.parse().expect("an id")).await;
        github.stage.control.settle().await.expect("settled");
        github.call(Method::DELETE, &one, &of_one, None, 204).await;
    }

    // Runs, and the deliveries all this made.
    let run = "/repos/{owner}/{repo}/actions/runs/{run_id}";
    github
        .call(Method::POST, &format!("{run}/cancel"), &repo(&["20"]), None, 202)
        .await;
    github
        .call(Method::POST, &format!("{run}/force-cancel"), &repo(&["20"]), None, 202)
        .await;
    github
        .call(Method::POST, &format!("{run}/rerun"), &repo(&["20"]), None, 403)
        .await;
    github.stage.control.settle().await.expect("settled");
    github
        .call(Method::POST, &format!("{run}/cancel"), &repo(&["20"]), None, 409)
        .await;
    github
        .call(Method::POST, &format!("{run}/rerun"), &repo(&["20"]), None, 201)
        .await;
    github
        .call(
            Method::POST,
            &format!("{run}/rerun-failed-jobs"),
            &repo(&["21"]),
            None,
            201,
        )
        .await;
    github.call(Method::GET, run, &repo(&["20"]), None, 200).await;
    github.call(Method::GET, run, &repo(&["99"]), None, 404).await;
    let sent = github.call(Method::GET, "/app/hook/deliveries", &[], None, 200).await;
    let (id, redeliver) = (
        sent.body[0]["id"].to_string(),
        "/app/hook/deliveries/{delivery_id}/attempts",
    );
    github.call(Method::POST, redeliver, &[&id], None, 202).await;

    groups_and_policies(&mut github).await;
    branches_and_releases(&mut github).await;

    // Nothing at all.
    let nowhere = github.stage.get("/nowhere").await;
    assert_eq!(nowhere.status, 404);
    github.hold("GET", "/nowhere", &nowhere);

    let all: BTreeSet<(String, String)> = jitgate::simulator::endpoints()
        .map(|(_, method, template)| (method.to_owned(), template.to_owned()))
        .collect();
    assert_eq!(
        all.difference(&github.seen).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "not inspected"
    );
    let unknown: Vec<_> = all
        .iter()
        .filter(|(method, path)| !github.description.has(method, path))
        .collect();
    assert!(unknown.is_empty(), "GitHub has no such endpoints: {unknown:?}");
}

/// Branches, files and releases.
async fn branches_and_releases(github: &mut Inspector) {
    let (org, name) = ("octo-org", "chem-model");
    let branches = "/repos/{owner}/{repo}/branches?protected=true";
    let listed = github.call(Method::GET, branches, &[org, name], None, 200).await;
    assert_eq!(listed.body[0]["name"], "main");
    let contents = "/repos/{owner}/{repo}/contents/{path}";
    for path in [".github%2Fworkflows", ".github%2Fworkflows%2Fci.yml"] {
        github.call(Method::GET, contents, &[org, name, path], None, 200).await;
    }
    github
        .call(Method::GET, contents, &[org, name, "other"], None, 404)
        .await;
    let release = "/repos/{owner}/{repo}/releases/tags/{tag}";
    github
        .call(Method::GET, release, &["actions", "runner", "v2.336.0"], None, 200)
        .await;
    github
        .call(Method::GET, release, &["actions", "runner", "v1.0.0"], None, 404)
        .await;
}

/// Runner groups of the organization, and the policies of the repository.
async fn groups_and_policies(github: &mut Inspector) {
    let repo = ["octo-org", "chem-model"];
    let org = repo[0];
    let groups = "/orgs/{org}/actions/runner-groups";
    let wanted = json!({"name": "ci", "visibility": "selected", "selected_repository_ids": [],
        "allows_public_repositories": true, "restricted_to_workflows": false, "selected_workflows": []});
    let made = github
        .call(Method::POST, groups, &[org], Some(wanted.clone()), 201)
        .await;
    github.call(Method::GET, groups, &[org], None, 200).await;
    let id = made.body["id"].to_string();
    let one = "/orgs/{org}/actions/runner-groups/{runner_group_id}";
    github.call(Method::GET, one, &[org, &id], None, 200).await;
    let limits = json!({"name": "ci", "visibility": "selected"});
    github.call(Method::PATCH, one, &[org, &id], Some(limits), 200).await;
    let repository = github
        .call(Method::GET, "/repos/{owner}/{repo}", &repo, None, 200)
        .await;
    let (member, own) = (
        format!("{one}/repositories/{{repository_id}}"),
        repository.body["id"].to_string(),
    );
    github.call(Method::PUT, &member, &[org, &id, &own], None, 204).await;
    github
        .call(Method::GET, &format!("{one}/repositories"), &[org, &id], None, 200)
        .await;
    github.call(Method::DELETE, &member, &[org, &id, &own], None, 204).await;

    let policy = |name: &str| format!("/repos/{{owner}}/{{repo}}/actions/permissions/{name}");
    let approval = policy("fork-pr-contributor-approval");
    github.call(Method::GET, &approval, &repo, None, 200).await;
    let strict = json!({"approval_policy": "all_external_contributors"});
    github.call(Method::PUT, &approval, &repo, Some(strict), 204).await;
    let token = policy("workflow");
    github.call(Method::GET, &token, &repo, None, 200).await;
    let least = json!({"default_workflow_permissions": "read", "can_approve_pull_request_reviews": false});
    github.call(Method::PUT, &token, &repo, Some(least), 204).await;
}

/// Creates an app in the web interface; returns its code.
async fn new_app(stage: &Stage) -> String {
    let manifest = "%7B%22url%22%3A%22https%3A%2F%2Fexample.com%22%2C%22redirect_url%22%3A%22http%3A%2F%2Fx%2Fcallback%22%2C\
                    %22default_permissions%22%3A%7B%22metadata%22%3A%22read%22%7D%2C%22default_events%22%3A%5B%5D%7D";
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let request = http
        .build()
        .expect("a client")
        .post(format!("{}/settings/apps/create", stage.simulator.url()));
    let answer = request
        .body(format!("name=gate&owner=octo-org&state=s&manifest={manifest}"))
        .send()
        .await;
    let answer = answer.expect("an answer");
    let back = answer.headers()["location"].to_str().expect("text");
    let code = back
        .strip_prefix("http://x/callback?code=")
        .and_then(|rest| rest.strip_suffix("&state=s"));
    code.unwrap_or_else(|| panic!("no code in {back}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_payload_is_one_github_describes() {
    let stage = Stage::with(world()).await;
    let description = Description::of_deliveries();
    let hold = |payload: &Value| {
        let action = payload["action"].as_str().expect("an action");
        let name = format!("webhook-workflow-job-{}", action.replace('_', "-"));
        let problems = description.problems(&Description::named(&name), payload);
        assert!(problems.is_empty(), "{name}:\n{}", problems.join("\n"));
    };
    for job in [101, 102, 103, 104, 110, 120] {
        for action in ["queued", "waiting", "in_progress", "completed"] {
            hold(
                &stage
                    .control
                    .render("workflow_job", action, job, None)
                    .await
                    .expect("a payload"),
            );
        }
    }
    // And what it tells by itself: a success, a destroyed runner, a cancelled run, a re-run.
    let labels = ["self-hosted", "linux", "x64", "chem-trusted-pr"];
    let first = stage.mint("ours-1", &labels).await;
    stage.online(first).await;
    stage.control.settle().await.expect("settled");
    let second = stage.mint("ours-2", &labels).await;
    stage.online(second).await;
    stage.offline(second).await;
    stage.control.settle().await.expect("settled");
    let runs = format!("{}/actions/runs", REPO);
    assert_eq!(stage.post(&format!("{runs}/21/rerun"), json!({})).await.status, 201);
    assert_eq!(stage.post(&format!("{runs}/20/cancel"), json!({})).await.status, 202);
    stage.advance(TimeDelta::hours(25));
    stage.control.settle().await.expect("settled");
    let told = stage.control.outbox().await.expect("deliveries");
    assert!(told.len() >= 7, "{} deliveries", told.len());
    told.iter().for_each(|delivery| hold(&delivery.payload));
}

#[test]
fn githubs_sample_payloads_are_read() {
    let samples = npm_file("webhooks-examples/api.github.com/index.json");
    let mut read = 0;
    for event in samples.as_array().expect("a list") {
        for example in event["examples"].as_array().expect("a list") {
            let body = example.to_string();
            payload::check_json(body.as_bytes()).expect("JSON");
            if event["name"] == "workflow_job" {
                let parsed = payload::parse(body.as_bytes());
                let Ok(Parsed::Job(job)) = parsed else {
                    panic!("{parsed:?} from {body}")
                };
                assert_eq!(json!(job.job.id), example["workflow_job"]["id"]);
                assert_eq!(json!(job.repository), example["repository"]["full_name"]);
                read += 1;
            }
        }
    }
    assert_eq!(read, 8, "samples of workflow_job");
}
