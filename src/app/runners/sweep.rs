//! The sweep: removes runners that belong to nothing, and checks runners and jobs that wait in vain.
//!
//! GitHub's list is read before the ledger. A runner is in the ledger before the call to GitHub, so a runner of this
//! instance that is only in GitHub's list belongs to nothing. Runners of other instances and of the operator are
//! recognized by their names and never changed. Unknown runners raise an alert.

use super::record::{note_busy, note_job, note_online};
use super::{lifecycle, ungated};
use crate::app::context::Context;
use crate::app::jobs::{assignment, waiting};
use crate::app::records::{Holder, RunnerRecord, WaitingRecord};
use crate::app::settings::Repository;
use crate::domain::event::{JobRunner, JobStatus};
use crate::domain::runner::{Outcome, is_job_and_attempt, runners_of};
use crate::ports::Failure;
use crate::ports::github::{Deletion, Purpose, RunnerScope};
use crate::ports::ledger::{Key, Kind};
use std::collections::BTreeSet;

/// The result of [`sweep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Swept {
    /// GitHub had runners of this instance that are in no ledger.
    Leftovers,
    Nothing,
}

/// Lists runners, reports unknown ones, and removes GitHub's records of this instance's runners that are in no ledger.
pub(in crate::app) async fn sweep(ctx: &Context) -> Result<Swept, Failure> {
    let ours = runners_of(&ctx.settings.name_prefix, &ctx.settings.instance);
    let mut swept = Swept::Nothing;
    let mut failed = None;
    let mut online = BTreeSet::new();
    for scope in scopes(ctx) {
        if let Err(failure) = sweep_scope(ctx, &scope, &ours, &mut online, &mut swept).await {
            // A scope that cannot be listed does not prevent the others.
            failed.get_or_insert(failure);
        }
    }
    if failed.is_none() {
        let base = ctx.settings.base_runners.iter();
        let missing = base.filter(|name| !online.contains(*name)).cloned();
        ctx.pool.note_missing_base_runners(missing.collect());
    }
    failed.map_or(Ok(swept), Err)
}

fn scopes(ctx: &Context) -> Vec<RunnerScope> {
    let mut seen = BTreeSet::new();
    let scopes = ctx
        .settings
        .repositories
        .iter()
        .map(|repository| repository.scope.clone());
    scopes
        .filter(|scope| match scope {
            RunnerScope::Repository(name) => seen.insert(name.to_string().to_ascii_lowercase()),
            RunnerScope::Organization(name) => seen.insert(name.owner().to_ascii_lowercase()),
        })
        .collect()
}

async fn sweep_scope(
    ctx: &Context,
    scope: &RunnerScope,
    ours: &str,
    online: &mut BTreeSet<String>,
    swept: &mut Swept,
) -> Result<(), Failure> {
    let mut busy = None;
    let listed = ctx.github.runners(scope).await?;
    online.extend(
        listed
            .iter()
            .filter(|runner| runner.online)
            .map(|runner| runner.name.clone()),
    );
    ungated::report(ctx, scope, &listed, ours).await?;
    for runner in listed {
        if !runner.name.strip_prefix(ours).is_some_and(is_job_and_attempt) {
            continue;
        }
        let key = Key::new(Kind::Runner, &runner.name);
        let is_known = ctx.ledger.get(&key).await?.is_some();
        if is_known && runner.busy {
            // Its job gate must call soon, even without an event about the job.
            note_busy(ctx, &runner.name).await?;
        } else if is_known && runner.online {
            note_online(ctx, &runner.name, runner.id).await?;
        }
        if !is_known {
            tracing::warn!(
                runner = runner.name,
                "removing unknown runner {} of this instance from GitHub",
                runner.name
            );
            *swept = Swept::Leftovers;
            if ctx.github.delete_runner(scope, runner.id).await? == Deletion::Busy {
                busy.get_or_insert(runner.name);
            }
        }
    }
    match busy {
        Some(name) => Err(Failure::Transient(format!("GitHub still shows runner {name} as busy"))),
        None => Ok(()),
    }
}

/// Handles a runner without a known job at its deadline: asks GitHub for the state of its assigned job.
pub(in crate::app) async fn ask_about(ctx: &Context, runner: &RunnerRecord) -> Result<(), Failure> {
    let Some(repository) = ctx.settings.repository(runner.repository.as_str()) else {
        return lifecycle::cancel(ctx, &runner.name, runner.job, None).await.map(drop);
    };
    let job = ctx.github.job(&repository.name, runner.job, Purpose::Admit).await?;
    let outcome = match job {
        Some(job) if job.status == JobStatus::Queued && is_taken(ctx, repository, runner).await? => Outcome::Stolen,
        // One absence is not final: GitHub is asked for the job again before the next runner.
        None => Outcome::NobodyCame,
        Some(job) if job.status == JobStatus::Queued => Outcome::NobodyCame,
        Some(job) if job.status == JobStatus::InProgress => {
            let here = |on: &&JobRunner| on.name == runner.name;
            if let Some(on) = job.runner.as_ref().filter(here) {
                return note_job(ctx, on, job.id).await;
            }
            Outcome::Cancelled
        }
        Some(_) => Outcome::Cancelled,
    };
    if outcome == Outcome::Cancelled {
        assignment::close(ctx, runner.job, "GitHub says that it is over, or runs elsewhere").await?;
        return lifecycle::cancel(ctx, &runner.name, runner.job, None).await.map(drop);
    }
    lifecycle::end(ctx, &runner.name, outcome, None).await
}

/// Returns true if GitHub shows a job on the runner that is not its assigned job.
async fn is_taken(ctx: &Context, repository: &Repository, runner: &RunnerRecord) -> Result<bool, Failure> {
    let found = ctx.github.runners_named(&repository.scope, &runner.name).await?;
    Ok(found.iter().any(|found| found.busy && Some(found.id) == runner.id))
}

/// Handles a job whose runner another instance does not start, perhaps because that instance has ended. If GitHub shows
/// that the job still waits, any worker can create another runner for it. The first runner stays with its instance.
pub(in crate::app) async fn take_over(ctx: &Context, waiting: &WaitingRecord, holder: &Holder) -> Result<(), Failure> {
    let job = waiting.event.job.id;
    let Some(repository) = ctx.settings.repository(waiting.repository.as_str()) else {
        return Ok(());
    };
    let now = ctx.clock.now();
    let found = ctx.github.job(&repository.name, job, Purpose::Admit).await?;
    let status = found.as_ref().map(|job| job.status);
    let on = found.and_then(|job| job.runner);
    match status {
        // One absence is not final: GitHub is asked for the job again before the next runner.
        None | Some(JobStatus::Queued) => {
            let what = format!("runner {} of another instance does not come up", holder.runner);
            tracing::warn!(job = job.0, runner = holder.runner, "{what}; job {job} is freed");
            assignment::take_over(ctx, job, holder, &what).await
        }
        Some(JobStatus::InProgress) if on.is_some_and(|on| on.name == holder.runner) => {
            // The runner is alive, and only its instance can open its job gate.
            waiting::change(ctx, job, |waiting| {
                if let Some(held) = waiting.holder.as_mut().filter(|held| *held == holder) {
                    held.since = now;
                }
            })
            .await?;
            Ok(())
        }
        _ => assignment::close(ctx, job, "GitHub says that it is over, or runs elsewhere").await,
    }
}
