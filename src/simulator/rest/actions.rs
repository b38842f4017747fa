//! Workflow runs and jobs.

use super::path::repository;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::lifecycle::RunRefusal;
use crate::simulator::render::runs;
use crate::simulator::simulation::Simulation;
use crate::simulator::state::{Job, Run, State};
use serde_json::{Value, json};

/// Lists the runs of a repository, newest first, filtered by their status.
pub(in crate::simulator) fn list_runs(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let repository = repository(state, call)?;
    let fits = |run: &&Run| {
        let (status, commit) = (call.query("status"), call.query("head_sha"));
        run.repository == repository
            && !run.deleted
            && status.is_none_or(|status| state.run_status(run).as_str() == status)
            && commit.is_none_or(|commit| run.head.sha == commit)
    };
    let mut found: Vec<&Run> = state.runs.values().filter(fits).collect();
    found.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.id)));
    let total = found.len();
    let (found, link) = call.page(found, &state.url);
    let runs: Vec<Value> = found
        .into_iter()
        .map(|run| runs::run(state, run, run.attempt))
        .collect();
    let reply = Reply::json(200, &json!({"total_count": total, "workflow_runs": runs}));
    Ok(match link {
        Some(link) => reply.header("link", link),
        None => reply,
    })
}

pub(in crate::simulator) fn get_run(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let run = run(state, call)?;
    Ok(Reply::json(200, &runs::run(state, run, run.attempt)))
}

pub(in crate::simulator) fn get_attempt(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let run = run(state, call)?;
    let attempt = u32::try_from(call.number(3)?).map_err(|_| Refused::not_found())?;
    if !(1..=run.attempt).contains(&attempt) {
        return Err(Refused::not_found());
    }
    Ok(Reply::json(200, &runs::run(state, run, attempt)))
}

pub(in crate::simulator) fn list_jobs(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let run = run(state, call)?;
    let every_attempt = call.query("filter") == Some("all");
    let found: Vec<&Job> = (state.jobs.values())
        .filter(|job| job.run == run.id && !job.deleted && (every_attempt || job.attempt == run.attempt))
        .collect();
    let total = found.len();
    let (found, link) = call.page(found, &state.url);
    let jobs: Vec<Value> = found.into_iter().map(|job| runs::job(state, job)).collect();
    let reply = Reply::json(200, &json!({"total_count": total, "jobs": jobs}));
    Ok(match link {
        Some(link) => reply.header("link", link),
        None => reply,
    })
}

pub(in crate::simulator) fn get_job(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let repository = repository(state, call)?;
    let job = state
        .jobs
        .get(&call.number(2)?)
        .filter(|job| !job.deleted && state.run(repository, job.run).is_some());
    Ok(Reply::json(200, &runs::job(state, job.ok_or_else(Refused::not_found)?)))
}

pub(in crate::simulator) fn cancel(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let repository = repository(state, call)?;
    match state.cancel(repository, call.number(2)?) {
        Ok(()) => Ok(Reply::json(202, &json!({}))),
        Err(RunRefusal::Gone) => Err(Refused::not_found()),
        Err(RunRefusal::WrongState) => Err(Refused::new(409, "Cannot cancel a workflow run that is completed.")),
    }
}

pub(in crate::simulator) fn rerun(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    start_over(simulation, call, false)
}

pub(in crate::simulator) fn rerun_failed(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    start_over(simulation, call, true)
}

fn start_over(simulation: &mut Simulation, call: &Call<'_>, failed_only: bool) -> Answer {
    let repository = repository(&simulation.state, call)?;
    match simulation.rerun(repository, call.number(2)?, call.request.caller(), failed_only) {
        Ok(()) => Ok(Reply::json(201, &json!({}))),
        Err(RunRefusal::Gone) => Err(Refused::not_found()),
        Err(RunRefusal::WrongState) => Err(Refused::new(403, "This workflow is already running")),
    }
}

fn run<'s>(state: &'s State, call: &Call<'_>) -> Result<&'s Run, Refused> {
    state
        .run(repository(state, call)?, call.number(2)?)
        .ok_or_else(Refused::not_found)
}
