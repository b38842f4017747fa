//! The sweep: what belongs to nothing is removed, and who waits in vain is looked at.
//!
//! GitHub is listed first, then the ledger: a runner is in the ledger before GitHub hears of it, so one of this instance
//! that GitHub shows and the ledger does not know belongs to nothing. Other instances' runners and the operator's own are
//! told by their names and never touched.

use super::gate::Gate;
use super::records::RunnerRecord;
use super::{runners, wants};
use crate::domain::event::{JobRunner, JobStatus};
use crate::domain::runner::{Outcome, runners_of};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunnerScope};
use crate::ports::ledger::{Key, Kind};
use chrono::TimeDelta;
use std::collections::BTreeSet;

/// How often GitHub is listed: one call a scope and hundred runners.
pub const INTERVAL: TimeDelta = TimeDelta::seconds(60);

/// Removes GitHub's records of this instance's runners that are in no ledger. Gives whether there were any.
pub(super) async fn sweep(gate: &Gate) -> Result<bool, Failure> {
    let ours = runners_of(&gate.settings.name_prefix, &gate.settings.instance);
    let mut found = false;
    let mut failed = None;
    for scope in scopes(gate) {
        if let Err(failure) = sweep_scope(gate, &scope, &ours, &mut found).await {
            // One that cannot be listed holds up no other.
            failed.get_or_insert(failure);
        }
    }
    failed.map_or(Ok(found), Err)
}

fn scopes(gate: &Gate) -> Vec<RunnerScope> {
    let mut seen = BTreeSet::new();
    let scopes = gate
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

async fn sweep_scope(gate: &Gate, scope: &RunnerScope, ours: &str, found: &mut bool) -> Result<(), Failure> {
    for runner in gate.github.runners(scope).await? {
        if !runner.name.starts_with(ours) {
            continue;
        }
        let key = Key::new(Kind::Runner, &runner.name);
        if gate.ledger.get(&key).await?.is_none() {
            tracing::warn!(
                runner = runner.name,
                "GitHub still has runner {}, which is over",
                runner.name
            );
            gate.github.delete_runner(scope, runner.id).await?;
            *found = true;
        }
    }
    Ok(())
}

/// No job took a runner in time, as far as we heard: asks GitHub what became of the job it is there for. Gives false when
/// it has to be asked again.
pub(super) async fn ask_about(gate: &Gate, runner: &RunnerRecord) -> Result<bool, Failure> {
    let Some(repository) = gate.settings.repository(runner.repository.as_str()) else {
        runners::end(gate, &runner.name, Outcome::Cancelled, None).await?;
        return Ok(true);
    };
    let job = gate.github.job(&repository.name, runner.job, Purpose::Admit).await?;
    let outcome = match job {
        Some(job) if job.status == JobStatus::Queued => Outcome::NobodyCame,
        Some(job) if job.status == JobStatus::InProgress => {
            let here = |on: &&JobRunner| on.name == runner.name;
            if let Some(on) = job.runner.as_ref().filter(here) {
                runners::note_taken(gate, on, job.id).await?;
                return Ok(true);
            }
            Outcome::Cancelled
        }
        Some(_) | None => Outcome::Cancelled,
    };
    if outcome == Outcome::Cancelled {
        wants::close(gate, runner.job, "GitHub says that it is over, or runs elsewhere").await?;
    }
    runners::end(gate, &runner.name, outcome, None).await?;
    Ok(true)
}
