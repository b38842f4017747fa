//! Workflow runs and jobs in the format of the REST API.

use super::accounts::{repository, user};
use super::pulls::pull_id;
use super::words::{date, node_id};
use crate::simulator::state::{Job, Run, State};
use crate::simulator::world::{Conclusion, PullState, Status};
use chrono::TimeDelta;
use serde_json::{Value, json};

/// Returns a workflow run at one of its attempts.
pub(in crate::simulator) fn run(state: &State, run: &Run, attempt: u32) -> Value {
    let name = state
        .repository(run.repository)
        .map_or("", |repository| repository.name.as_str());
    let (web, id) = (&state.url, run.id);
    let api = format!("{web}/repos/{name}");
    let itself = format!("{api}/actions/runs/{id}");
    let of_attempt = state.jobs_of(id, attempt).collect::<Vec<_>>();
    let status = if attempt < run.attempt {
        Status::Completed
    } else {
        state.run_status(run)
    };
    let conclusion = (status == Status::Completed).then(|| conclusion(&of_attempt, run));
    let changed = of_attempt
        .iter()
        .flat_map(|job| [Some(job.created_at), job.started_at, job.completed_at]);
    let updated = changed.flatten().max().unwrap_or(run.created_at);
    let pulls: Vec<Value> = (state.pulls.iter())
        .filter(|pull| pull.repository == run.repository && pull.head.repository == run.repository)
        .filter(|pull| pull.state == PullState::Open && pull.head.branch == run.head.branch)
        .map(|pull| {
            let end = |branch: &str, sha: &str| {
                json!({"ref": branch, "sha": sha, "repo": {"id": run.repository, "url": api, "name": name}})
            };
            json!({
                "id": pull_id(pull),
                "number": pull.number,
                "url": format!("{api}/pulls/{}", pull.number),
                "head": end(&pull.head.branch, &pull.head.sha),
                "base": end("main", &pull.head.sha),
            })
        })
        .collect();
    let mut value = json!({
        "id": id,
        "name": run.name,
        "node_id": node_id("WorkflowRun", id),
        "check_suite_id": id,
        "check_suite_node_id": node_id("CheckSuite", id),
        "head_branch": run.head.branch,
        "head_sha": run.head.sha,
        "path": run.path,
        "run_number": id,
        "run_attempt": attempt,
        "referenced_workflows": [],
        "event": run.event,
        "status": status.as_str(),
        "conclusion": conclusion.map(Conclusion::as_str),
        "workflow_id": 1,
        "display_title": run.name,
        "pull_requests": pulls,
        "created_at": date(run.created_at),
        "updated_at": date(updated),
        "run_started_at": date(of_attempt.iter().map(|job| job.created_at).min().unwrap_or(run.created_at)),
        "url": itself,
        "html_url": format!("{web}/{name}/actions/runs/{id}"),
        "jobs_url": format!("{itself}/jobs"),
        "logs_url": format!("{itself}/logs"),
        "check_suite_url": format!("{api}/check-suites/{id}"),
        "artifacts_url": format!("{itself}/artifacts"),
        "cancel_url": format!("{itself}/cancel"),
        "rerun_url": format!("{itself}/rerun"),
        "previous_attempt_url": (attempt > 1).then(|| format!("{itself}/attempts/{}", attempt - 1)),
        "workflow_url": format!("{api}/actions/workflows/1"),
        "head_commit": {
            "id": run.head.sha,
            "tree_id": run.head.sha,
            "message": "Change something",
            "timestamp": date(run.created_at),
            "author": {"name": run.actor, "email": "author@example.com"},
            "committer": {"name": run.actor, "email": "author@example.com"},
        },
        "repository": repository(state, run.repository),
        "head_repository": repository(state, run.head.repository),
    });
    if let Value::Object(fields) = &mut value {
        // A deleted account is omitted.
        for (field, login) in [
            ("actor", run.actor.as_str()),
            ("triggering_actor", run.triggering_actor(attempt)),
        ] {
            let account = user(state, login);
            if !account.is_null() {
                fields.insert(field.to_owned(), account);
            }
        }
    }
    value
}

fn conclusion(jobs: &[&Job], run: &Run) -> Conclusion {
    let any = |conclusion: Conclusion| jobs.iter().any(|job| job.conclusion == Some(conclusion));
    match () {
        () if any(Conclusion::Failure) || any(Conclusion::TimedOut) => Conclusion::Failure,
        () if any(Conclusion::Cancelled) || run.cancel_requested => Conclusion::Cancelled,
        () if any(Conclusion::ActionRequired) => Conclusion::ActionRequired,
        () if !jobs.is_empty() && jobs.iter().all(|job| job.conclusion == Some(Conclusion::Skipped)) => {
            Conclusion::Skipped
        }
        () => Conclusion::Success,
    }
}

/// Returns the current state of a job.
pub(in crate::simulator) fn job(state: &State, job: &Job) -> Value {
    job_as(state, job, job.status)
}

/// Returns the state of a job at a given status.
pub(super) fn job_as(state: &State, job: &Job, status: Status) -> Value {
    let Some(run) = state.runs.get(&job.run) else {
        return Value::Null;
    };
    let name = state
        .repository(run.repository)
        .map_or("", |repository| repository.name.as_str());
    let (web, id) = (&state.url, job.id);
    let api = format!("{web}/repos/{name}");
    let runner = job
        .runner
        .as_ref()
        .filter(|_| matches!(status, Status::InProgress | Status::Completed));
    let completed = status == Status::Completed;
    json!({
        "id": id,
        "run_id": run.id,
        "run_attempt": job.attempt,
        "run_url": format!("{api}/actions/runs/{}", run.id),
        "node_id": node_id("CheckRun", id),
        "head_sha": run.head.sha,
        "head_branch": run.head.branch,
        "workflow_name": run.name,
        "name": job.name,
        "labels": job.labels,
        "status": status.as_str(),
        "conclusion": completed.then(|| job.conclusion.unwrap_or(Conclusion::Success).as_str()),
        "created_at": date(job.created_at),
        // GitHub sets this field while the job is still queued.
        "started_at": date(job.started_at.unwrap_or(job.created_at)),
        "completed_at": completed.then(|| date(job.completed_at.unwrap_or_else(|| state.now()))),
        "steps": steps(job, status),
        "runner_id": runner.map(|runner| runner.id),
        "runner_name": runner.map(|runner| runner.name.as_str()),
        "runner_group_id": runner.map(|_| 1),
        "runner_group_name": runner.map(|_| "Default"),
        "url": format!("{api}/actions/jobs/{id}"),
        "html_url": format!("{web}/{name}/actions/runs/{}/job/{id}", run.id),
        "check_run_url": format!("{api}/check-runs/{id}"),
    })
}

fn steps(job: &Job, status: Status) -> Vec<Value> {
    let at = job.started_at.unwrap_or(job.created_at);
    let (started, set_up) = (date(at), date(at + TimeDelta::seconds(job.setup_s.into())));
    match status {
        Status::Queued | Status::Waiting => Vec::new(),
        Status::InProgress => vec![json!({
            "name": "Set up job", "status": "in_progress", "conclusion": null, "number": 1,
            "started_at": started, "completed_at": null,
        })],
        Status::Completed => (job.steps.iter().zip(1..))
            .map(|(name, number)| {
                let (started, completed) = if number == 1 {
                    (&started, Some(set_up.clone()).filter(|_| job.setup_s > 0))
                } else {
                    (&set_up, None)
                };
                let completed = completed.or_else(|| job.completed_at.map(date));
                json!({
                    "name": name, "status": "completed", "conclusion": "success", "number": number,
                    "started_at": started, "completed_at": completed.as_ref().unwrap_or(started),
                })
            })
            .collect(),
    }
}
