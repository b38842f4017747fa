//! Stories about the simulated GitHub, told over HTTP: what a gate would see of the real one.

use crate::support::simulator::{REPO, Stage, TOKEN, jwt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use jitgate::simulator::{ClientError, Delivery, JobTally, Simulator, StartError};
use reqwest::Method;
use serde_json::{Value, json};

const POOL: [&str; 4] = ["self-hosted", "linux", "x64", "chem-trusted-pr"];

/// A trusted pull request with one queued job, 101, in run 20.
fn one_job() -> Value {
    json!({
        "pulls": [{"number": 7, "author": "alice", "head": {"branch": "topic"}}],
        "runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101}]}],
        "permissions": {"alice": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
    })
}

fn over(conclusion: &str, runner: Option<&str>, ran: bool) -> JobTally {
    JobTally {
        status: "completed".to_owned(),
        conclusion: Some(conclusion.to_owned()),
        runner: runner.map(str::to_owned),
        ran,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_its_runner_and_takes_the_record_along() {
    let world = Stage::with(one_job()).await;
    let runner = world.mint("ours-1", &POOL).await;
    assert_eq!(world.online(runner).await, Some(101));

    let busy = world.get(&format!("{REPO}/actions/runners/{runner}")).await.body;
    assert_eq!((&busy["busy"], &busy["status"]), (&json!(true), &json!("online")));
    let job = world.get(&format!("{REPO}/actions/jobs/101")).await.body;
    assert_eq!(
        (&job["status"], &job["runner_id"]),
        (&json!("in_progress"), &json!(runner))
    );

    assert_eq!(world.control.settle().await.expect("settled"), 1);
    let tally = world.control.tally().await.expect("a tally");
    assert_eq!((tally.minted, tally.ran, tally.runners_left), (1, 1, 0));
    assert_eq!(tally.jobs[&101], over("success", Some("ours-1"), true));
    assert_eq!(world.control.settle().await.expect("settled"), 0, "it is quiet now");

    let told = world.control.outbox().await.expect("deliveries");
    let actions: Vec<&str> = told.iter().filter_map(|d| d.payload["action"].as_str()).collect();
    assert_eq!(actions, ["in_progress", "completed"]);
    assert_eq!(told[0].guid, "00000000-0000-4000-8000-000000000001");
    assert_eq!(told[1].payload["workflow_job"]["steps"][2]["name"], "Run tests");
    assert!(
        world.control.outbox().await.expect("deliveries").is_empty(),
        "they were taken"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_idle_runner_with_all_the_labels_gets_the_oldest_job() {
    let mut github = one_job();
    github["runs"] = json!([
        {"id": 21, "created_at": "2026-11-23T11:00:00Z", "jobs": [{"id": 1, "labels": ["gpu", "self-hosted"]}]},
        {"id": 22, "created_at": "2026-11-23T10:00:00Z", "jobs": [{"id": 2, "labels": ["SELF-HOSTED", "X64"]}]},
        {"id": 23, "created_at": "2026-11-23T09:00:00Z", "jobs": [{"id": 3, "labels": ["macos-15"]}]},
    ]);
    let world = Stage::with(github).await;
    let runner = world.mint("for-somebody-else", &POOL).await;
    assert_eq!(
        world.online(runner).await,
        Some(2),
        "case is nothing, and not every label need be asked for"
    );
    let idle = world.mint("idle", &["self-hosted", "x64"]).await;
    assert_eq!(world.online(idle).await, None, "one label is missing for job 1");
    world
        .change(json!({"runners": [{"id": 5, "name": "theirs", "labels": ["self-hosted", "GPU"]}]}))
        .await;
    assert_eq!(
        world.control.tally().await.expect("a tally").jobs[&1].runner.as_deref(),
        Some("theirs")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_runner_that_is_destroyed_in_time_ran_nothing() {
    let mut github = one_job();
    github["pulls"][0]["head"]["repository"] = json!("mallory/chem-model");
    github["runs"][0]["jobs"][0]["labels"] = json!(["x64"]);
    let world = Stage::with(github).await;
    let runner = world.mint("ours-1", &POOL).await;
    assert_eq!(world.online(runner).await, Some(101));
    let run = world.get(&format!("{REPO}/actions/runs/20")).await.body;
    assert_eq!(run["head_repository"]["fork"], json!(true));
    assert_eq!(run["pull_requests"], json!([]), "GitHub names none for forks");

    world.offline(runner).await;
    let path = format!("{REPO}/actions/runners/{runner}");
    assert_eq!(
        world.call(Method::DELETE, &path, None).await.status,
        422,
        "GitHub does not know yet"
    );
    world.control.settle().await.expect("settled");
    let tally = world.control.tally().await.expect("a tally");
    assert_eq!(tally.jobs[&101], over("failure", Some("ours-1"), false));
    assert_eq!(
        (tally.ran, tally.runners_left),
        (0, 1),
        "a killed runner leaves its record behind"
    );
    assert_eq!(world.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(world.call(Method::DELETE, &path, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_as_long_as_it_takes() {
    let mut github = one_job();
    github["runs"][0]["jobs"][0]["duration_s"] = json!(90);
    let world = Stage::with(github).await;
    let runner = world.mint("ours-1", &POOL).await;
    world.online(runner).await;
    assert_eq!(world.control.settle().await.expect("settled"), 0);
    world.advance(TimeDelta::seconds(90));
    assert_eq!(world.control.settle().await.expect("settled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_a_day_fails() {
    let world = Stage::with(one_job()).await;
    world.advance(TimeDelta::hours(24));
    world.control.settle().await.expect("settled");
    assert_eq!(
        world.control.tally().await.expect("a tally").jobs[&101],
        over("failure", None, false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_jit_answer_shows_as_409_and_is_found_by_name() {
    let world = Stage::with(one_job()).await;
    world
        .change(json!({"faults": [{"endpoint": "jit", "drop": "after"}]}))
        .await;
    let path = format!("{REPO}/actions/runners/generate-jitconfig");
    let wanted = json!({"name": "ours-1", "runner_group_id": 1, "labels": POOL});
    let lost = world.try_call(Method::POST, &path, &[], Some(wanted.clone())).await;
    assert!(lost.expect_err("no answer").is_request(), "not even a status line came");

    let again = world.post(&path, wanted).await;
    assert_eq!(again.status, 409);
    let listed = world.get(&format!("{REPO}/actions/runners?name=ours-1")).await.body;
    assert_eq!(
        (&listed["total_count"], &listed["runners"][0]["status"]),
        (&json!(1), &json!("offline"))
    );
    let id = listed["runners"][0]["id"].as_u64().expect("an id");
    assert_eq!(
        world
            .call(Method::DELETE, &format!("{REPO}/actions/runners/{id}"), None)
            .await
            .status,
        204
    );
    assert_eq!(world.control.tally().await.expect("a tally").calls["jit"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_lost_on_its_way_changes_nothing() {
    let world = Stage::with(one_job()).await;
    world
        .change(json!({"faults": [{"endpoint": "jit", "drop": "before"}]}))
        .await;
    let path = format!("{REPO}/actions/runners/generate-jitconfig");
    let wanted = json!({"name": "ours-1", "runner_group_id": 1, "labels": POOL});
    assert!(world.try_call(Method::POST, &path, &[], Some(wanted)).await.is_err());
    assert_eq!(world.control.tally().await.expect("a tally").minted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jit_configuration_contains_the_server_url() {
    let world = Stage::with(one_job()).await;
    let wanted = json!({"name": "ours-1", "runner_group_id": 1, "labels": POOL});
    let made = world
        .post(&format!("{REPO}/actions/runners/generate-jitconfig"), wanted)
        .await
        .body;
    let decode = |text: &Value| -> Value {
        let bytes = STANDARD.decode(text.as_str().expect("text")).expect("base64");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let files = decode(&made["encoded_jit_config"]);
    for name in [".runner", ".credentials", ".credentials_rsaparams"] {
        assert!(files[name].is_string(), "{name} is missing");
    }
    let settings = decode(&files[".runner"]);
    let id = made["runner"]["id"].as_u64().expect("an id");
    assert_eq!(settings["serverUrl"], format!("{}/_runner/{id}", world.simulator.url()));
    assert_eq!(
        (&settings["agentName"], &settings["simulated"]),
        (&json!("ours-1"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jit_requests_are_checked_as_github_does() {
    let world = Stage::with(one_job()).await;
    let path = format!("{REPO}/actions/runners/generate-jitconfig");
    let many: Vec<String> = (0..101).map(|n| format!("label-{n}")).collect();
    for (wanted, status) in [
        (json!({"name": "a", "runner_group_id": 1, "labels": []}), 422),
        (json!({"name": "a", "runner_group_id": 1, "labels": many}), 422),
        (json!({"name": "", "runner_group_id": 1, "labels": ["x"]}), 422),
        (json!({"name": "a", "labels": ["x"]}), 422),
        (json!({"name": "a", "runner_group_id": 2, "labels": ["x"]}), 404),
    ] {
        assert_eq!(world.post(&path, wanted.clone()).await.status, status, "{wanted}");
    }
    let elsewhere = json!({"name": "a", "runner_group_id": 3, "labels": ["x"]});
    let organization = "/orgs/octo-org/actions/runners";
    assert_eq!(
        world
            .post(&format!("{organization}/generate-jitconfig"), elsewhere)
            .await
            .status,
        201
    );
    assert_eq!(world.get(organization).await.body["runners"][0]["runner_group_id"], 3);
    assert_eq!(
        world.get(&format!("{REPO}/actions/runners")).await.body["total_count"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_runner_serves_all_its_repositories() {
    let mut github = one_job();
    github["repositories"] = json!([{"full_name": "octo-org/chem-model"}, {"full_name": "octo-org/second"}]);
    github["runs"] = json!([{"id": 30, "repository": "octo-org/second", "event": "push", "jobs": [{"id": 9}]}]);
    let world = Stage::with(github).await;
    let wanted = json!({"name": "shared", "runner_group_id": 2, "labels": POOL});
    let made = world
        .post("/orgs/octo-org/actions/runners/generate-jitconfig", wanted)
        .await
        .body;
    assert_eq!(
        world.online(made["runner"]["id"].as_u64().expect("an id")).await,
        Some(9)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_when_the_world_settles() {
    let mut github = one_job();
    github["runs"][0]["jobs"] = json!([{"id": 101}, {"id": 102}]);
    let world = Stage::with(github).await;
    let runner = world.mint("ours-1", &POOL).await;
    world.online(runner).await;
    let path = format!("{REPO}/actions/runs/20/cancel");
    assert_eq!(world.post(&path, json!({})).await.status, 202);
    assert_eq!(
        world.get(&format!("{REPO}/actions/runs/20")).await.body["status"],
        "in_progress"
    );

    assert_eq!(world.control.settle().await.expect("settled"), 2);
    let tally = world.control.tally().await.expect("a tally");
    assert_eq!(tally.jobs[&101], over("cancelled", Some("ours-1"), false));
    assert_eq!(tally.jobs[&102], over("cancelled", None, false));
    assert_eq!(tally.runners_left, 0);
    let run = world.get(&format!("{REPO}/actions/runs/20")).await.body;
    assert_eq!(
        (&run["status"], &run["conclusion"]),
        (&json!("completed"), &json!("cancelled"))
    );
    assert_eq!(world.post(&path, json!({})).await.status, 409, "it is over");
    assert_eq!(
        world
            .post(&format!("{REPO}/actions/runs/99/cancel"), json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_run_makes_new_jobs_and_keeps_the_actor() {
    let world = Stage::with(one_job()).await;
    let path = format!("{REPO}/actions/runs/20/rerun");
    assert_eq!(world.post(&path, json!({})).await.status, 403, "it is not over yet");
    world
        .change(json!({"runs": [{"id": 20, "jobs": [{"id": 101, "status": "completed", "conclusion": "failure"}]}]}))
        .await;
    assert_eq!(world.post(&path, json!({})).await.status, 201);

    let run = world.get(&format!("{REPO}/actions/runs/20")).await.body;
    assert_eq!((&run["run_attempt"], &run["status"]), (&json!(2), &json!("queued")));
    assert_eq!(
        (&run["actor"]["login"], &run["triggering_actor"]["login"]),
        (&json!("alice"), &json!("operator"))
    );
    let first = world.get(&format!("{REPO}/actions/runs/20/attempts/1")).await.body;
    assert_eq!(
        (&first["status"], &first["conclusion"]),
        (&json!("completed"), &json!("failure"))
    );
    assert_eq!(first["triggering_actor"]["login"], "alice");
    let jobs = world.get(&format!("{REPO}/actions/runs/20/jobs")).await.body;
    assert_eq!(
        (&jobs["total_count"], &jobs["jobs"][0]["id"]),
        (&json!(1), &json!(900_001))
    );
    assert_eq!(
        world.get(&format!("{REPO}/actions/runs/20/jobs?filter=all")).await.body["total_count"],
        2
    );
    let told = world.control.outbox().await.expect("deliveries");
    assert_eq!(told[0].payload["action"], "queued");
    assert_eq!(told[0].payload["workflow_job"]["run_attempt"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rerunning_failed_jobs_delivers_their_siblings_again() {
    let mut github = one_job();
    github["runs"][0]["jobs"] = json!([
        {"id": 101, "status": "completed", "conclusion": "failure"},
        {"id": 102, "status": "completed", "conclusion": "success"},
    ]);
    let world = Stage::with(github).await;
    assert_eq!(
        world
            .post(&format!("{REPO}/actions/runs/20/rerun-failed-jobs"), json!({}))
            .await
            .status,
        201
    );
    let told = world.control.outbox().await.expect("deliveries");
    let events: Vec<_> = told
        .iter()
        .map(|d| {
            (
                d.payload["action"].as_str().unwrap_or(""),
                d.payload["workflow_job"]["id"].as_u64(),
            )
        })
        .collect();
    assert_eq!(events, [("queued", Some(900_001)), ("completed", Some(102))]);
    assert_ne!(told[0].guid, told[1].guid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_token_lasts_an_hour_and_has_the_requested_permissions() {
    let world = Stage::with(one_job()).await;
    let app = format!("Bearer {}", world.app_token());
    let as_app = [("authorization", app.as_str())];
    let get = async |path: &str, headers: &[(&str, &str)]| {
        world
            .try_call(Method::GET, path, headers, None)
            .await
            .expect("an answer")
    };
    let installation = get(&format!("{REPO}/installation"), &as_app).await.body;
    let path = format!("/app/installations/{}/access_tokens", installation["id"]);
    let wanted = json!({"repositories": ["chem-model"], "permissions": {"actions": "read", "metadata": "read"}});
    let made = world
        .try_call(Method::POST, &path, &as_app, Some(wanted))
        .await
        .expect("an answer");
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["permissions"], json!({"actions": "read", "metadata": "read"}));
    assert_eq!(made.body["repositories"][0]["full_name"], "octo-org/chem-model");
    let greedy = json!({"permissions": {"workflows": "write"}});
    assert_eq!(
        world
            .try_call(Method::POST, &path, &as_app, Some(greedy))
            .await
            .expect("an answer")
            .status,
        422
    );

    let token = format!("token {}", made.body["token"].as_str().expect("a token"));
    let with_token = [("authorization", token.as_str())];
    let run = format!("{REPO}/actions/runs/20");
    assert_eq!(get(&run, &with_token).await.status, 200);
    let refused = world
        .try_call(Method::POST, &format!("{run}/cancel"), &with_token, None)
        .await
        .expect("an answer");
    assert_eq!(refused.status, 403, "read is not write");
    world.advance(TimeDelta::hours(1));
    let expired = get(&run, &with_token).await;
    assert_eq!(
        (expired.status, &expired.body["message"]),
        (401, &json!("Bad credentials"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_checked_before_anything_else() {
    let world = Stage::with(one_job()).await;
    let now = world.now().timestamp();
    let status = async |path: &str, authorization: &str| {
        let headers = [("authorization", authorization)];
        world
            .try_call(Method::GET, path, &headers, None)
            .await
            .expect("an answer")
            .status
    };
    let run = format!("{REPO}/actions/runs/20");
    assert_eq!(status(&run, "").await, 401);
    assert_eq!(status(&run, "Bearer ghs_unknown").await, 401);
    assert_eq!(status(&run, &format!("Bearer {TOKEN}")).await, 200);
    for (issued, expires, expected) in [
        (now, now + 600, 200),
        (now, now + 601, 401),
        (now - 600, now, 401),
        (now + 61, now + 300, 401),
    ] {
        assert_eq!(
            status("/app", &format!("Bearer {}", jwt(issued, expires))).await,
            expected
        );
    }
    assert_eq!(
        status("/app", &format!("Bearer {TOKEN}")).await,
        401,
        "an App shows a JWT"
    );
    assert_eq!(status("/app", "Bearer a.b.c").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_answer_is_a_304_and_costs_nothing() {
    let world = Stage::with(one_job()).await;
    let path = format!("{REPO}/actions/runs/20");
    let first = world.get(&path).await;
    let (etag, left) = (
        first.header("etag").to_owned(),
        first.header("x-ratelimit-remaining").to_owned(),
    );
    let conditional = async || {
        let headers = [("if-none-match", etag.as_str())];
        world
            .try_call(Method::GET, &path, &headers, None)
            .await
            .expect("an answer")
    };
    let second = conditional().await;
    assert_eq!(
        (second.status, second.header("x-ratelimit-remaining")),
        (304, left.as_str())
    );
    world.change(json!({"runs": [{"id": 20, "name": "other"}]})).await;
    assert_eq!(conditional().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hourly_limit_is_an_hourly_limit() {
    let world = Stage::with(one_job()).await;
    world.change(json!({"rate_limit": {"limit": 10, "remaining": 1}})).await;
    let path = format!("{REPO}/actions/runs/20");
    let last = world.get(&path).await;
    assert_eq!((last.status, last.header("x-ratelimit-remaining")), (200, "0"));
    let refused = world.get(&path).await;
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (403, "0"));
    let reset: i64 = refused.header("x-ratelimit-reset").parse().expect("a number");
    assert_eq!(reset, (world.now() + TimeDelta::hours(1)).timestamp());
    assert_eq!(world.get("/rate_limit").await.body["rate"]["remaining"], 0);
    world.advance(TimeDelta::hours(1));
    assert_eq!(world.get(&path).await.header("x-ratelimit-remaining"), "9");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_as_often_as_they_were_asked_to() {
    let world = Stage::with(one_job()).await;
    world
        .change(json!({"faults": [
            {"endpoint": "get-run", "status": 503, "times": 2},
            {"endpoint": "get-run", "status": 429, "headers": {"retry-after": "30"}},
            {"endpoint": "get-run", "status": 403, "reset_s": 60},
            {"endpoint": "*", "malformed": true},
            {"endpoint": "get-run", "delay_s": 0.001},
        ]}))
        .await;
    let run = format!("{REPO}/actions/runs/20");
    assert_eq!([world.get(&run).await.status, world.get(&run).await.status], [503, 503]);
    let limited = world.get(&run).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "30"));
    let limited = world.get(&run).await;
    let reset = (world.now() + TimeDelta::seconds(60)).timestamp().to_string();
    assert_eq!(
        (
            limited.header("x-ratelimit-remaining"),
            limited.header("x-ratelimit-reset")
        ),
        ("0", reset.as_str())
    );
    let broken = world.get(&format!("{REPO}/actions/jobs/101")).await;
    assert_eq!((broken.status, broken.body), (200, Value::Null));
    assert_eq!(world.get(&run).await.body["id"], 20);
    world
        .change(
            json!({"faults": [{"endpoint": "cancel", "status": 500, "times": 9}, {"endpoint": "cancel", "times": 0}]}),
        )
        .await;
    assert_eq!(
        world.post(&format!("{run}/cancel"), json!({})).await.status,
        202,
        "the fault was taken away"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_get_lost_doubled_and_overtaken() {
    let faults = json!([
        {"endpoint": "delivery", "delivery": "drop"},
        {"endpoint": "delivery", "delivery": "duplicate"},
        {"endpoint": "delivery", "delivery": "repeat"},
    ]);
    let mut github = one_job();
    github["runs"][0]["jobs"] = json!([{"id": 101}, {"id": 102}]);
    github["faults"] = faults;
    let world = Stage::with(github).await;
    for name in ["ours-1", "ours-2"] {
        let runner = world.mint(name, &POOL).await;
        world.online(runner).await;
    }
    world.control.settle().await.expect("settled");
    let told = world.control.outbox().await.expect("deliveries");
    let line = |d: &Delivery| {
        let guid = d.guid.chars().last().expect("a guid");
        format!(
            "{guid} {} {}",
            d.payload["action"].as_str().unwrap_or(""),
            d.payload["workflow_job"]["id"]
        )
    };
    // GUID 1, job 101 in progress, is lost.
    assert_eq!(
        told.iter().map(line).collect::<Vec<_>>(),
        [
            "2 in_progress 102",
            "2 in_progress 102",
            "3 completed 101",
            "4 completed 101",
            "5 completed 102"
        ]
    );
    world
        .change(json!({"faults": [{"endpoint": "delivery", "delivery": "reorder"}]}))
        .await;
    world
        .change(json!({"runs": [{"id": 21, "jobs": [{"id": 103}, {"id": 104}]}]}))
        .await;
    for name in ["ours-3", "ours-4"] {
        let runner = world.mint(name, &POOL).await;
        world.online(runner).await;
    }
    let told = world.control.outbox().await.expect("deliveries");
    assert_eq!(
        told.iter().map(line).collect::<Vec<_>>(),
        ["7 in_progress 104", "6 in_progress 103"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_is_made_changed_and_removed() {
    let world = Stage::with(json!({})).await;
    let path = format!("{REPO}/actions/variables/ROUTING");
    let value = json!({"value": "false"});
    assert_eq!(world.get(&path).await.status, 404);
    assert_eq!(world.call(Method::PATCH, &path, Some(value.clone())).await.status, 404);
    let made = json!({"name": "routing", "value": "true"});
    assert_eq!(
        world
            .post(&format!("{REPO}/actions/variables"), made.clone())
            .await
            .status,
        201
    );
    assert_eq!(world.post(&format!("{REPO}/actions/variables"), made).await.status, 409);
    world.advance(TimeDelta::seconds(5));
    assert_eq!(world.call(Method::PATCH, &path, Some(value)).await.status, 204);
    let variable = world.get(&path).await.body;
    assert_eq!(
        (&variable["name"], &variable["value"]),
        (&json!("ROUTING"), &json!("false"))
    );
    assert_ne!(variable["created_at"], variable["updated_at"]);
    assert_eq!(
        world.control.tally().await.expect("a tally").variables["ROUTING"],
        "false"
    );
    assert_eq!(world.call(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(world.call(Method::DELETE, &path, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_requests_are_found_by_head_branch_and_owner() {
    let world = Stage::with(json!({
        "pulls": [
            {"number": 7, "head": {"branch": "topic"}},
            {"number": 8, "author": "mallory", "association": "NONE", "head": {"repository": "mallory/chem-model", "branch": "topic"}},
            {"number": 9, "head": {"branch": "topic"}, "state": "closed"},
        ],
    }))
    .await;
    let numbers = async |query: &str| {
        let body = world.get(&format!("{REPO}/pulls?{query}")).await.body;
        body.as_array()
            .expect("a list")
            .iter()
            .filter_map(|pull| pull["number"].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [8, 7]);
    assert_eq!(numbers("head=octo-org:topic").await, [7]);
    assert_eq!(numbers("head=octo-org:topic&state=all").await, [9, 7]);
    assert_eq!(numbers("head=MALLORY:topic&state=open").await, [8]);
    assert_eq!(numbers("head=mallory:other").await, Vec::<u64>::new());
    assert_eq!(numbers("state=all&per_page=2&page=2").await, [7]);
    let first = world.get(&format!("{REPO}/pulls?per_page=1")).await;
    assert!(
        first
            .header("link")
            .ends_with("/pulls?page=2&per_page=1>; rel=\"next\""),
        "{}",
        first.header("link")
    );

    world
        .change(json!({"forks": [{"full_name": "mallory/chem-model", "deleted": true}]}))
        .await;
    let pull = world.get(&format!("{REPO}/pulls/8")).await.body;
    assert_eq!(
        (&pull["head"]["repo"], &pull["head"]["user"]["login"]),
        (&Value::Null, &json!("mallory"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_follow_the_world() {
    let world = Stage::with(json!({
        "repositories": [{"full_name": "octo-org/chem-model"}, {"full_name": "octo-org/hidden", "private": true}],
        "permissions": {"Alice": "maintain"},
    }))
    .await;
    let permission = async |repository: &str, login: &str| {
        let path = format!("/api/v3/repos/octo-org/{repository}/collaborators/{login}/permission");
        world.get(&path).await.body["permission"]
            .as_str()
            .expect("a word")
            .to_owned()
    };
    assert_eq!(permission("chem-model", "alice").await, "write");
    assert_eq!(permission("chem-model", "nobody").await, "read");
    assert_eq!(permission("hidden", "alice").await, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_show_the_job_as_the_event_would() {
    let world = Stage::with(one_job()).await;
    let runner = world.mint("ours-1", &POOL).await;
    world.online(runner).await;
    world.control.settle().await.expect("settled");
    let render = async |action: &str, patch: Option<&Value>| {
        world
            .control
            .render("workflow_job", action, 101, patch)
            .await
            .expect("a payload")
    };
    let late = render("queued", None).await["workflow_job"].take();
    assert_eq!(
        (&late["status"], &late["conclusion"], &late["runner_id"]),
        (&json!("queued"), &Value::Null, &Value::Null)
    );
    assert!(
        late["started_at"].is_string(),
        "GitHub fills it while the job is queued"
    );
    assert_eq!(render("completed", None).await["workflow_job"]["runner_id"], runner);
    let patch = json!({"workflow_job": {"run_attempt": null, "runner_id": 5}});
    let patched = render("queued", Some(&patch)).await["workflow_job"].take();
    assert_eq!((patched.get("run_attempt"), &patched["runner_id"]), (None, &json!(5)));
    assert_eq!(render("paused", None).await["action"], "paused");

    world
        .change(json!({"runs": [{"id": 21, "jobs": [{"id": 110, "status": "waiting"}]}]}))
        .await;
    let held = world
        .control
        .render("workflow_job", "queued", 110, None)
        .await
        .expect("a payload");
    assert_eq!(
        (&held["action"], &held["workflow_job"]["status"]),
        (&json!("queued"), &json!("waiting"))
    );
    let missing = world
        .control
        .render("workflow_job", "queued", 5, None)
        .await
        .expect_err("no such job");
    assert_eq!(missing.to_string(), "unknown job 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_deliveries_can_be_found_and_asked_for_again() {
    let mut github = one_job();
    github["delivers"] = json!(false);
    let world = Stage::with(github).await;
    let runner = world.mint("ours-1", &POOL).await;
    world.online(runner).await;
    world.control.settle().await.expect("settled");
    assert!(world.control.outbox().await.expect("deliveries").is_empty());

    let app = format!("Bearer {}", world.app_token());
    let headers = [("authorization", app.as_str())];
    let list = async |query: &str| {
        let path = format!("/app/hook/deliveries?{query}");
        world
            .try_call(Method::GET, &path, &headers, None)
            .await
            .expect("an answer")
    };
    let newest = list("per_page=1").await;
    assert_eq!(
        (&newest.body[0]["action"], &newest.body[0]["status_code"]),
        (&json!("completed"), &json!(502))
    );
    let cursor = newest.body[0]["id"].as_u64().expect("an id");
    assert!(
        newest
            .header("link")
            .contains(&format!("cursor={cursor}>; rel=\"next\""))
    );
    let older = list(&format!("per_page=1&cursor={cursor}")).await;
    assert_eq!(
        (&older.body[0]["action"], older.header("link")),
        (&json!("in_progress"), "")
    );

    world.change(json!({"delivers": true})).await;
    let path = format!("/app/hook/deliveries/{cursor}/attempts");
    assert_eq!(
        world
            .try_call(Method::POST, &path, &headers, None)
            .await
            .expect("an answer")
            .status,
        202
    );
    let again = world.control.outbox().await.expect("deliveries");
    assert_eq!(
        json!(again[0].guid),
        newest.body[0]["guid"],
        "a redelivery keeps its GUID"
    );
    assert_eq!(list("per_page=1").await.body[0]["redelivery"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_is_refused_by_name_and_leaves_nothing_behind() {
    let world = Stage::with(json!({})).await;
    for (change, named) in [
        (json!({"pull": []}), "unknown field `pull`"),
        (
            json!({"runs": [{"id": 1, "jobs": [{"id": 1, "lables": []}]}]}),
            "unknown field `lables`",
        ),
        (
            json!({"pulls": [{"number": 1, "association": "member"}]}),
            "unknown variant `member`",
        ),
        (
            json!({"repositories": [{"full_name": "nameless"}]}),
            "\"nameless\" is not OWNER/NAME",
        ),
        (
            json!({"runs": [{"id": 1}], "faults": [{"endpoint": "get-runs"}]}),
            "unknown endpoint \"get-runs\"",
        ),
    ] {
        match world.control.apply(&change).await {
            Err(ClientError::Refused(reason)) => assert!(reason.contains(named), "{reason}"),
            other => panic!("{change} gave {other:?}"),
        }
    }
    assert_eq!(world.get(&format!("{REPO}/actions/runs/1")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_of_this_simulator() {
    let text = include_str!("../../docs/fixtures.md");
    let example = text
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example");
    let example: Value = serde_json::from_str(example).expect("JSON");
    let world = Stage::with(example["github"].clone()).await;
    assert!(world.control.render("workflow_job", "queued", 101, None).await.is_ok());
    assert_eq!(
        world.get(&format!("{REPO}/actions/runs/20")).await.status,
        503,
        "its fault strikes"
    );
    let run = world.get(&format!("{REPO}/actions/runs/20")).await.body;
    assert_eq!(run["head_repository"]["full_name"], "mallory/chem-model");
    for (endpoint, ..) in jitgate::simulator::endpoints() {
        assert!(text.contains(&format!("`{endpoint}`")), "{endpoint} is not documented");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_a_404_in_the_form_of_github() {
    let world = Stage::with(one_job()).await;
    for path in [
        "/nowhere",
        "/repos/octo-org/other",
        &format!("{REPO}/actions/runs/abc"),
        &format!("{REPO}/actions/jobs/1"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["message"]),
            (404, &json!("Not Found")),
            "{path}"
        );
        assert_eq!(answer.body["status"], "404");
    }
    world.change(json!({"runs": [{"id": 20, "deleted": true}]})).await;
    assert_eq!(world.get(&format!("{REPO}/actions/runs/20")).await.status, 404);
    assert_eq!(world.get(&format!("{REPO}/actions/jobs/101")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_can_be_emptied() {
    let world = Stage::with(one_job()).await;
    world.mint("ours-1", &POOL).await;
    world.control.reset().await.expect("emptied");
    let tally = world.control.tally().await.expect("a tally");
    assert_eq!((tally.minted, tally.runners_left, tally.jobs.len()), (0, 0, 0));
    assert_eq!(world.get("/meta").await.body["simulator"], "jitgate");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_loopback_only_and_stops_on_request() {
    let mut github = one_job();
    let own_job = u64::from(std::process::id());
    github["runs"][0]["jobs"][0]["id"] = json!(own_job);
    let world = Stage::with(github).await;
    let clock = std::sync::Arc::new(jitgate::adapters::clock::ManualClock::at(world.now()));
    assert!(matches!(
        Simulator::start(clock, ([0, 0, 0, 0], 0).into()),
        Err(StartError::NotLoopback(_))
    ));
    let (url, control) = (world.simulator.url().to_owned(), world.control.clone());
    world.simulator.stop().await;
    match control.tally().await {
        // A simulator of another test can have the port by now.
        Ok(tally) => assert!(!tally.jobs.contains_key(&own_job), "it still answers: {tally:?}"),
        Err(error) => assert!(
            error
                .to_string()
                .starts_with(&format!("no answer from a simulator at {url}")),
            "{error}"
        ),
    }
}
