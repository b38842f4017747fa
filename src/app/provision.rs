//! Makes one just-in-time runner for one admitted job.
//!
//! The name goes into the ledger before the request goes out. A lost answer, or a crash, leaves a job whose runner is
//! `minting`: whatever bears that name is removed before the job is decided on again, so there are never two.

use super::act::tear_down;
use super::gate::Gate;
use super::records::{self, JobRecord, JobRunner, RunnerRecord, runner_key};
use super::settings::Repository;
use crate::domain::event::JobEvent;
use crate::domain::ids::{JobId, RunnerId};
use crate::domain::runner::{RunnerState, runner_name};
use crate::ports::github::{JitOutcome, JitRequest, JitRunner};
use crate::ports::runner_host::SlotId;
use crate::ports::{Failure, RunnerHost};

/// Makes the runner, under a new name for as often as the old one is taken.
pub(super) async fn provision(gate: &Gate, repository: &Repository, event: &JobEvent) -> Result<(), Failure> {
    let Some(host) = &gate.host else {
        tracing::warn!(
            job = event.job.id.0,
            "job {} is admitted, and no runner host is configured",
            event.job.id
        );
        return Ok(());
    };
    // Capacity was looked at before the decision; others may have been faster.
    let _turn = gate.minting.lock().await;
    if is_full(gate, host.as_ref()).await? {
        return Err(Failure::Transient("all runners are in use".to_owned()));
    }
    let slot = host.boot().await?;
    let made = mint(gate, repository, event, host.as_ref(), &slot).await;
    if made.is_err() {
        host.destroy(&slot).await?;
    }
    made
}

/// Whether as many runners are alive as may be.
pub(super) async fn is_full(gate: &Gate, host: &dyn RunnerHost) -> Result<bool, Failure> {
    let slots = host.list().await?;
    let claimed = slots.iter().filter(|slot| slot.runner.is_some()).count();
    Ok(u32::try_from(claimed).map_or(true, |claimed| claimed >= gate.settings.max_runners))
}

async fn mint(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    host: &dyn RunnerHost,
    slot: &SlotId,
) -> Result<(), Failure> {
    let job = event.job.id;
    loop {
        let name = next_name(gate, job).await?;
        let request = JitRequest {
            name: name.clone(),
            runner_group_id: repository.runner_group_id,
            labels: event.job.labels.clone(),
        };
        match gate.github.generate_jit(&repository.scope, &request).await? {
            JitOutcome::Made(runner) => return start(gate, repository, job, host, slot, name, runner).await,
            JitOutcome::NameTaken => resolve_lost_mint(gate, repository, job).await?,
            JitOutcome::Refused(why) => {
                resolve_lost_mint(gate, repository, job).await?;
                return Err(Failure::Permanent(format!(
                    "GitHub makes no runner for job {job}: {why}"
                )));
            }
        }
    }
}

/// Takes the next name and records it.
async fn next_name(gate: &Gate, job: JobId) -> Result<String, Failure> {
    let settings = &gate.settings;
    let mut exhausted = false;
    let record = records::update(
        gate.ledger.as_ref(),
        &job.to_string(),
        settings.retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            exhausted = record.mints >= settings.attempts + record.mints_stolen;
            if exhausted {
                return None;
            }
            record.mints += 1;
            let name = runner_name(&settings.name_prefix, &settings.instance, job, record.mints);
            record.runner = Some(JobRunner {
                name,
                state: RunnerState::Minting,
                id: None,
            });
            Some(record)
        },
    )
    .await?;
    match record.and_then(|record| record.runner) {
        Some(runner) if !exhausted => Ok(runner.name),
        _ => Err(Failure::Permanent(format!(
            "job {job} got no runner in {} attempts",
            settings.attempts
        ))),
    }
}

async fn start(
    gate: &Gate,
    repository: &Repository,
    job: JobId,
    host: &dyn RunnerHost,
    slot: &SlotId,
    name: String,
    runner: JitRunner,
) -> Result<(), Failure> {
    let key = runner_key(repository.scope.repository(), runner.id);
    let record = RunnerRecord {
        name: name.clone(),
        made_for: job,
        slot: slot.0.clone(),
        state: RunnerState::Minted,
        passed_gate: false,
    };
    records::update(gate.ledger.as_ref(), &key, gate.settings.retention, |_| {
        Some(record.clone())
    })
    .await?;
    host.claim(slot, &name, runner.config).await?;
    tracing::info!(
        job = job.0,
        runner = runner.id.0,
        name,
        "made runner {name} for job {job}"
    );
    set_state(gate, job, RunnerState::Minted, Some(runner.id)).await
}

async fn set_state(gate: &Gate, job: JobId, state: RunnerState, id: Option<RunnerId>) -> Result<(), Failure> {
    records::update(
        gate.ledger.as_ref(),
        &job.to_string(),
        gate.settings.retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            let runner = record.runner.as_mut()?;
            runner.state = state;
            runner.id = id;
            Some(record)
        },
    )
    .await?;
    Ok(())
}

/// Removes whatever bears the name of a runner whose making was cut short.
pub(super) async fn resolve_lost_mint(gate: &Gate, repository: &Repository, job: JobId) -> Result<(), Failure> {
    let Some(runner) = gate.job(job).await?.and_then(|record| record.runner) else {
        return Ok(());
    };
    if runner.state != RunnerState::Minting {
        return Ok(());
    }
    if let Some(host) = &gate.host {
        for slot in host.list().await? {
            if slot.runner.as_deref() == Some(runner.name.as_str()) {
                host.destroy(&slot.id).await?;
            }
        }
    }
    for found in gate.github.runners_named(&repository.scope, &runner.name).await? {
        gate.github.delete_runner(&repository.scope, found.id).await?;
        tear_down(gate, repository, found.id).await?;
    }
    set_state(gate, job, RunnerState::Failed, None).await
}
