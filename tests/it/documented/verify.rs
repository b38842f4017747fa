//! `jitgate verify` against the described GitHub: each mistake of an operator is one finding with a remedy.

use super::stage::{REPOSITORY, Stage};
use crate::commands::stage::Answer;
use crate::support::command::search_path;
use crate::support::openapi::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const PLACE: &str = "GET /repos/{owner}/{repo}";
const VARIABLE: &str = "GET /repos/{owner}/{repo}/actions/variables/{name}";
const RUNNERS: &str = "GET /orgs/{org}/actions/runners";
const GROUP: &str = "GET /orgs/{org}/actions/runner-groups/{runner_group_id}";
const MEMBERS: &str = "GET /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories";
const APPROVAL: &str = "GET /repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval";
const BRANCHES: &str = "GET /repos/{owner}/{repo}/branches";
const CONTENTS: &str = "GET /repos/{owner}/{repo}/contents/{path}";
const APP: &str = "GET /app";
const INSTALLATION: &str = "GET /repos/{owner}/{repo}/installation";
const HOOK: &str = "GET /app/hook/config";
const LOG: &str = "GET /app/hook/deliveries";
const DOWNLOADS: &str = "GET /orgs/{org}/actions/runners/downloads";
const RELEASE: &str = "GET /repos/{owner}/{repo}/releases/tags/{tag}";
const CI: &str = include_str!("../../../deploy/workflow/ci.yml");

fn permissions() -> Value {
    json!({"actions": "write", "actions_variables": "write", "administration": "write", "contents": "read",
        "metadata": "read", "organization_self_hosted_runners": "write", "pull_requests": "read"})
}

fn group() -> Value {
    json!({"id": 3, "name": "ci", "visibility": "selected", "default": false, "inherited": false,
        "runners_url": "https://x.test/r", "allows_public_repositories": true,
        "restricted_to_workflows": true, "selected_workflows": ["octo-org/octo-repo/.github/workflows/trusted.yml@main"]})
}

fn members(names: &[(u64, &str)]) -> Value {
    let listed: Vec<Value> = names
        .iter()
        .map(|(id, name)| json!({"id": id, "full_name": name}))
        .collect();
    json!({"total_count": listed.len(), "repositories": listed})
}

/// The workflow as GitHub lists it.
fn entry(path: &str) -> Value {
    let url = "https://x.test/f";
    json!({"type": "file", "name": "f", "path": path, "size": 1, "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "url": url,
        "git_url": url, "html_url": url, "download_url": url, "_links": {"self": url, "git": url, "html": url}})
}

/// The workflow with its content.
fn content(text: &str) -> Value {
    let mut file = entry(".github/workflows/ci.yml");
    file["encoding"] = json!("base64");
    file["content"] = json!(STANDARD.encode(text));
    file
}

fn app(permissions: &Value, events: &[&str]) -> Value {
    let time = "2026-01-01T00:00:00Z";
    let url = "https://x.test/a";
    let owner = json!({"login": "octo-org", "id": 9, "node_id": "n", "avatar_url": url, "gravatar_id": "", "url": url,
        "html_url": url, "followers_url": url, "following_url": url, "gists_url": url, "starred_url": url,
        "subscriptions_url": url, "organizations_url": url, "repos_url": url, "events_url": url,
        "received_events_url": url, "type": "Organization", "site_admin": false});
    json!({"id": 4711, "slug": "gate", "node_id": "n", "owner": owner, "name": "gate", "description": null, "external_url": url,
        "html_url": url, "created_at": time, "updated_at": time, "permissions": permissions, "events": events})
}

/// The workflow folder, and a text for the workflow in it.
fn workflow(stage: &Stage, text: &str) {
    let file = content(text);
    stage.github.react(CONTENTS, move |call| {
        match call.variables["path"].replace("%2F", "/").as_str() {
            ".github/workflows" => (200, json!([entry(".github/workflows/ci.yml")])),
            _ => (200, file.clone()),
        }
    });
}

/// An organization's public repository with everything in place.
fn stage() -> Stage {
    let stage = Stage::set();
    stage.configure("scope = \"org\"\nrunner_group_id = 3\n");
    let github = &stage.github;
    let place = json!({"id": 7, "full_name": REPOSITORY, "private": false, "owner": {"id": 9, "type": "Organization"}});
    github.answer(PLACE, 200, place);
    let time = "2026-01-01T00:00:00Z";
    let variable = json!({"name": "X", "value": "true", "created_at": time, "updated_at": time});
    github.answer(VARIABLE, 200, variable);
    github.answer(RUNNERS, 200, json!({"total_count": 0, "runners": []}));
    github.answer(GROUP, 200, group());
    github.answer(MEMBERS, 200, members(&[(7, REPOSITORY)]));
    github.answer(APPROVAL, 200, json!({"approval_policy": "all_external_contributors"}));
    github.answer(BRANCHES, 200, json!([{"name": "main", "protected": true}]));
    github.answer(APP, 200, app(&permissions(), &["workflow_job"]));
    github.answer(INSTALLATION, 200, json!({"id": 1, "permissions": permissions()}));
    let hook = json!({"url": "https://gate.example/webhooks/github", "content_type": "json", "insecure_ssl": "0"});
    github.answer(HOOK, 200, hook);
    github.answer(LOG, 200, json!([delivery(202)]));
    workflow(&stage, CI);
    stage
}

fn delivery(status: u16) -> Value {
    json!({"id": 1, "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516", "delivered_at": "2026-01-01T00:00:00Z",
        "redelivery": false, "duration": 0.1, "status": if status < 300 { "OK" } else { "failed" },
        "status_code": status, "event": "workflow_job", "action": "queued", "installation_id": 1, "repository_id": 7})
}

fn verify(stage: &Stage, more: &[(&str, &str)]) -> (Answer, Value) {
    let ports = [
        ("JITGATE__SERVER__LISTEN", "127.0.0.1:0"),
        ("JITGATE__SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ("JITGATE__WEBHOOK__SECRETS", "q7!Vd0#kLz9@Wm3$Xp5^Rt"),
        ("JITGATE__LOCAL__PUBLIC_REPOSITORIES", "true"),
    ];
    let status = stage.at("status.json").display().to_string();
    let args = ["--json", "verify", "--status-file", &status];
    let answer = stage.run_with(&args, &[&ports[..], more].concat());
    let told = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{}{}", answer.out, answer.err));
    (answer, told)
}

/// Returns the texts of findings with a verdict.
fn of<'a>(told: &'a Value, verdict: &str) -> Vec<&'a str> {
    let found = told["findings"].as_array().expect("a list").iter();
    let of_verdict = found.filter(|finding| finding["verdict"] == verdict);
    of_verdict
        .inspect(|finding| {
            let is_fault = verdict == "problem" || verdict == "warning";
            assert!(!is_fault || finding["remedy"].is_string(), "a remedy: {finding}");
        })
        .map(|finding| finding["what"].as_str().expect("words"))
        .collect()
}

fn expect(told: &Value, verdict: &str, part: &str) {
    let found = of(told, verdict).into_iter().filter(|what| what.contains(part)).count();
    assert_eq!(found, 1, "{verdict} {part}: {told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_place_is_reported_part_by_part() {
    let stage = stage();
    let (answer, told) = verify(&stage, &[]);
    assert_eq!(answer.code, 0, "{told:#}");
    for part in [
        "app gate has the permissions and events",
        "the webhook of the app sends JSON to https://gate.example/webhooks/github",
        "the newest delivery arrived",
        "serves only the workflows octo-org/octo-repo/.github/workflows/trusted.yml@main",
        "runner group 3 serves no other repository",
        "workflows of all external contributors need an approval",
        "the route job in .github/workflows/ci.yml on branch main is that of jitgate",
        "the current webhook secret 1 is strong",
        "no token is refreshed on this machine",
    ] {
        expect(&told, "ok", part);
    }
    assert!(stage.github.changes().is_empty(), "it only looks");
    stage.github.assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_one_problem_with_a_remedy() {
    let stage = stage();
    // What does not exist is a finding with another subject.
    let absent = [PLACE, VARIABLE, GROUP, CONTENTS, INSTALLATION, HOOK];
    for operation in [
        PLACE,
        VARIABLE,
        RUNNERS,
        GROUP,
        MEMBERS,
        APPROVAL,
        BRANCHES,
        CONTENTS,
        APP,
        INSTALLATION,
        HOOK,
        LOG,
    ] {
        for fault in Fault::ALL {
            if fault == Fault::Status(404) && absent.contains(&operation) {
                continue;
            }
            stage.github.fail(operation, fault);
            let (answer, told) = verify(&stage, &[]);
            stage.github.heal();
            let problems = of(&told, "problem");
            let context = format!("{operation} {fault:?}: {problems:#?}");
            // The app asks for its installation before each token, so then no question has an answer.
            let is_one = problems.len() == 1 || operation == INSTALLATION;
            assert!(is_one && !problems.is_empty(), "{context}");
            assert_eq!(answer.code, 4, "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_at_github_are_named() {
    let stage = stage();
    let github = &stage.github;
    let mut lacking = permissions();
    lacking["administration"] = json!("read");
    let hook = |url: &str, content_type: &str, insecure: &str| json!({"url": url, "content_type": content_type, "insecure_ssl": insecure});
    let good = "https://gate.example/webhooks/github";
    let cases = [
        (
            APP,
            app(&lacking, &["workflow_job"]),
            "problem",
            "app gate lacks permissions: administration write",
            4,
        ),
        (
            APP,
            app(&permissions(), &[]),
            "problem",
            "does not receive the event workflow_job",
            4,
        ),
        (
            INSTALLATION,
            json!({"id": 1, "permissions": lacking}),
            "problem",
            "the installation of the app lacks permissions",
            4,
        ),
        (
            HOOK,
            hook("https://gate.example/", "json", "0"),
            "problem",
            "does not end with /webhooks/github",
            4,
        ),
        (HOOK, hook(good, "form", "0"), "problem", "content type form", 4),
        (HOOK, hook(good, "json", "1"), "problem", "accepts any certificate", 4),
        (
            HOOK,
            json!({"content_type": "json"}),
            "problem",
            "has no webhook URL",
            4,
        ),
        (
            LOG,
            json!([delivery(502), delivery(202)]),
            "problem",
            "1 of the latest 2 deliveries failed, the newest with 502",
            1,
        ),
        (LOG, json!([]), "unknown", "reachability of the webhook URL", 0),
        (
            MEMBERS,
            members(&[(8, "octo-org/other")]),
            "problem",
            "runner group 3 does not serve it",
            1,
        ),
        (
            MEMBERS,
            members(&[(7, REPOSITORY), (8, "octo-org/other")]),
            "warning",
            "also serves octo-org/other",
            0,
        ),
        (
            APPROVAL,
            json!({"approval_policy": "first_time_contributors"}),
            "warning",
            "policy first_time_contributors",
            0,
        ),
        (BRANCHES, json!([]), "warning", "no branch is protected", 0),
        (
            RUNNERS,
            json!({"total_count": 1, "runners": [{"id": 5, "name": "home", "os": "linux", "status": "online", "busy": false, "labels": []}]}),
            "warning",
            "runner home (online) is neither jitgate's",
            0,
        ),
    ];
    for (operation, body, verdict, part, code) in cases {
        let healthy = self::stage();
        healthy.github.answer(operation, 200, body);
        let (answer, told) = verify(&healthy, &[]);
        expect(&told, verdict, part);
        assert_eq!(answer.code, code, "{part}: {told:#}");
        assert_eq!(
            of(&told, "problem").len(),
            usize::from(verdict == "problem"),
            "{told:#}"
        );
        healthy.github.assert_as_documented();
    }
    let mut open = group();
    (open["visibility"], open["allows_public_repositories"]) = (json!("all"), json!(false));
    open["restricted_to_workflows"] = json!(false);
    github.answer(GROUP, 200, open);
    let (answer, told) = verify(&stage, &[]);
    expect(&told, "warning", "all repositories of octo-org can use runner group 3");
    expect(&told, "problem", "serves no public repository");
    expect(&told, "ok", "serves any workflow");
    assert_eq!(answer.code, 1);
    github.answer(GROUP, 404, json!({"message": "Not Found"}));
    github.answer(HOOK, 404, json!({"message": "Not Found"}));
    let (_, told) = verify(&stage, &[]);
    expect(&told, "problem", "octo-org has no runner group 3");
    expect(&told, "problem", "has no webhook URL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployed_rule_that_differs_is_named_with_its_branch() {
    let stage = stage();
    let branches = json!([{"name": "main", "protected": true}, {"name": "release/1", "protected": true}]);
    stage.github.answer(BRANCHES, 200, branches);
    let weak = CI.replace("&& github.event.sender.type == 'User'", "");
    let (good, weak) = (content(CI), content(&weak));
    stage.github.react(CONTENTS, move |call| {
        let file = if call.query.contains("release%2F1") {
            &weak
        } else {
            &good
        };
        match call.variables["path"].replace("%2F", "/").as_str() {
            ".github/workflows" => (
                200,
                json!([
                    entry(".github/workflows/ci.yml"),
                    entry(".github/workflows/nightly.yml")
                ]),
            ),
            ".github/workflows/ci.yml" => (200, file.clone()),
            other => panic!("{other} does not follow the variable"),
        }
    });
    let (answer, told) = verify(&stage, &[]);
    assert_eq!(answer.code, 0, "{told:#}");
    expect(&told, "ok", "ci.yml on branch main is that of jitgate");
    expect(
        &told,
        "warning",
        "ci.yml on branch release/1 differs from that of jitgate: env.TRUSTED lacks `github.event.sender.type == 'User' &&`",
    );
    workflow(&stage, "jobs: {}\n");
    let (_, told) = verify(&stage, &[]);
    assert_eq!(
        of(&told, "warning")
            .iter()
            .filter(|what| what.contains("has no job `route`"))
            .count(),
        2
    );
    stage.github.answer(CONTENTS, 404, json!({"message": "Not Found"}));
    let (_, told) = verify(&stage, &[]);
    expect(&told, "warning", "no workflow of routing.workflows is on branch main");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_on_this_machine_are_named() {
    let stage = stage();
    let (_, told) = verify(&stage, &[("JITGATE__WEBHOOK__SECRETS", "hunter2-hunter2-hunter2")]);
    expect(&told, "warning", "the current webhook secret 1 can be guessed");
    assert!(!told.to_string().contains("hunter2"), "a secret is never shown");

    for (status, verdict, part, code) in [
        (
            json!({"expires_at": SystemClock.now() - TimeDelta::minutes(1)}).to_string(),
            "problem",
            "the refreshed token expired",
            4,
        ),
        (
            json!({"expires_at": SystemClock.now() + TimeDelta::minutes(50)}).to_string(),
            "ok",
            "the refreshed token is valid",
            0,
        ),
        ("{}".to_owned(), "problem", "is not a status", 4),
    ] {
        fs::write(stage.at("status.json"), status).expect("a file");
        let (answer, told) = verify(&stage, &[]);
        expect(&told, verdict, part);
        assert_eq!(answer.code, code, "{told:#}");
    }
    fs::remove_file(stage.at("status.json")).expect("a file");

    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = other.local_addr().expect("an address").to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut caller, _) = other.accept().expect("a caller");
        assert!(caller.read(&mut [0; 1024]).expect("a request") > 0);
        caller
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("an answer");
    });
    let (answer, told) = verify(&stage, &[("JITGATE__SERVER__LISTEN", &at)]);
    answering.join().expect("it answers");
    expect(&told, "problem", "another program answers at the public port");
    assert_eq!(answer.code, 1);
    let (_, told) = verify(&stage, &[("JITGATE__SERVER__LISTEN", &at)]);
    expect(&told, "ok", "is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_judged_and_none_has_to_be_installed() {
    let stage = stage();
    let tools = stage.at("tools");
    fs::create_dir_all(&tools).expect("a folder");
    let path = format!("{}:{}", tools.display(), search_path());
    for (shown, verdict, part) in [
        (
            "Id=jitgate.service\\nLoadState=not-found\\nUnitFileState=\\nActiveState=inactive\\n",
            "ok",
            "no service of jitgate is installed",
        ),
        (
            "Id=jitgate.service\\nLoadState=loaded\\nUnitFileState=enabled\\nActiveState=active\\n",
            "ok",
            "installed services: jitgate.service (active)",
        ),
        (
            "Id=jitgate.service\\nLoadState=loaded\\nUnitFileState=enabled\\nActiveState=failed\\n",
            "warning",
            "jitgate.service has failed",
        ),
    ] {
        let script = format!("#!/bin/sh\n[ \"$1\" = show ] && printf '{shown}'\n");
        let program = tools.join("systemctl");
        fs::write(&program, script).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        let (_, told) = verify(&stage, &[("PATH", &path)]);
        expect(&told, verdict, part);
    }
    fs::write(
        tools.join("systemctl"),
        "#!/bin/sh\necho 'System has not been booted with systemd' >&2; exit 1\n",
    )
    .expect("a file");
    let (answer, told) = verify(&stage, &[("PATH", &path)]);
    expect(
        &told,
        "unknown",
        "services of jitgate: not checked, because System has not been booted with systemd",
    );
    assert_eq!(answer.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_program_is_held_against_githubs_releases() {
    let stage = stage();
    let home = stage.at("runner");
    fs::create_dir_all(home.join("bin")).expect("a folder");
    fs::write(home.join("run.sh"), "#!/bin/sh\n").expect("a file");
    let local = [
        ("JITGATE__RUNNERS__HOST", "local"),
        ("JITGATE__LOCAL__RUNNER_HOME", home.to_str().expect("text")),
    ];
    let current = json!([
        {"os": "win", "architecture": "x64", "download_url": "https://x.test", "filename": "actions-runner-win-x64-2.340.0.zip"},
        {"os": "linux", "architecture": "x64", "download_url": "https://x.test", "filename": "actions-runner-linux-x64-2.340.0.tar.gz"}
    ]);
    stage.github.answer(DOWNLOADS, 200, current);
    for (version, age_days, verdict, part) in [
        ("2.340.0", 90, "ok", "GitHub's current release is 2.340.0"),
        (
            "2.339.0",
            31,
            "problem",
            "is 2.339.0, and GitHub rejects it: 2.340.0 is older than 30 days",
        ),
        ("2.339.0", 3, "warning", "GitHub rejects it after"),
        ("2.328.0", 3, "problem", "rejects releases before 2.329.0"),
        ("dotnet is missing", 3, "unknown", "printed no version"),
    ] {
        let program = home.join("bin/Runner.Listener");
        fs::write(&program, format!("#!/bin/sh\necho '{version}'\n")).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        let published = SystemClock.now() - TimeDelta::days(age_days);
        stage
            .github
            .answer(RELEASE, 200, json!({"tag_name": "v2.340.0", "published_at": published}));
        let (_, told) = verify(&stage, &local);
        expect(&told, verdict, part);
    }
    stage.github.fail(DOWNLOADS, Fault::Status(403));
    fs::write(home.join("bin/Runner.Listener"), "#!/bin/sh\necho 2.340.0\n").expect("a file");
    let (_, told) = verify(&stage, &local);
    expect(&told, "problem", "releases of the runner program");
    stage.github.assert_as_documented();
}

/// Returns the remedy of the only finding with these words.
fn remedy(told: &Value, part: &str) -> String {
    let all = told["findings"].as_array().expect("a list").iter();
    let fitting: Vec<&Value> = all
        .filter(|finding| finding["what"].as_str().is_some_and(|what| what.contains(part)))
        .collect();
    assert_eq!(fitting.len(), 1, "{part}: {told:#}");
    fitting[0]["remedy"].as_str().expect("a remedy").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remedy_fits_the_cause_of_a_finding() {
    let stage = stage();
    for (status, expected) in [
        (401, "set the same webhook secret"),
        (404, "let the proxy pass POST /webhooks/github"),
        (405, "let the proxy pass POST /webhooks/github"),
        (502, "start jitgate serve, and check name"),
    ] {
        stage.github.answer(LOG, 200, json!([delivery(status)]));
        let (_, told) = verify(&stage, &[]);
        let found = remedy(&told, "deliveries failed");
        assert!(found.contains(expected), "{status}: {found}");
    }
    let bots =
        "[trust]\nallow_bots = [{ login = \"renovate[bot]\", branches = [\"renovate/*\"], commits_by = \"bot\" }]\n";
    let differs = "differs from that of jitgate";
    let renamed = CI.replace("    name: route\n", "    name: Route\n");
    let exempt = CI.replace("&& !endsWith(github.actor, '[bot]')", "");
    for (text, with_bots, is_intended) in [(&exempt, false, false), (&renamed, true, false), (&exempt, true, true)] {
        let stage = self::stage();
        if with_bots {
            stage.configure(bots);
        }
        workflow(&stage, text);
        let (_, told) = verify(&stage, &[]);
        let found = remedy(&told, differs);
        assert_eq!(found.contains("is intended"), is_intended, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_shortened_and_the_rest_is_counted() {
    let stage = stage();
    let branches: Vec<Value> = (0..22)
        .map(|number| json!({"name": format!("b{number}"), "protected": true}))
        .collect();
    stage.github.answer(BRANCHES, 200, json!(branches));
    let others: Vec<String> = (0..5).map(|number| format!("octo-org/other-{number}")).collect();
    let mut listed: Vec<(u64, &str)> = vec![(7, REPOSITORY)];
    listed.extend(others.iter().map(|name| (8, name.as_str())));
    stage.github.answer(MEMBERS, 200, members(&listed));
    let (_, told) = verify(&stage, &[]);
    expect(
        &told,
        "unknown",
        "route job on 2 protected branches: not checked, because only 20 branches are read",
    );
    let compared = of(&told, "ok")
        .into_iter()
        .filter(|what| what.contains("is that of jitgate"));
    assert_eq!(compared.count(), 20);
    expect(
        &told,
        "warning",
        "also serves octo-org/other-0, octo-org/other-1, octo-org/other-2 and 2 more",
    );

    stage
        .github
        .answer(BRANCHES, 200, json!([{"name": "main", "protected": true}]));
    workflow(&stage, "permissions: {}\njobs:\n  route:\n    runs-on: ubuntu-latest\n");
    let (_, told) = verify(&stage, &[]);
    expect(&told, "warning", "steps[1].name is missing");
    expect(&told, "warning", "; and 2 more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_has_no_policy_for_forks() {
    let stage = stage();
    let place = json!({"id": 7, "full_name": REPOSITORY, "private": true, "owner": {"id": 9, "type": "Organization"}});
    stage.github.answer(PLACE, 200, place);
    stage.github.fail(APPROVAL, Fault::Status(422));
    let (answer, told) = verify(&stage, &[]);
    expect(&told, "unknown", "approval of workflows of outsiders: not checked");
    assert_eq!(answer.code, 0, "{told:#}");
}
