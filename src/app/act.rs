//! Carries decisions out. Every action can be repeated after a crash without a second effect.

use super::gate::Gate;
use super::provision;
use super::records::{self, JobRecord, JobRunner, RepositoryRecord, RolledBack, RunRecord, RunnerRecord, runner_key};
use super::settings::Repository;
use crate::domain::alert::{Alert, AlertKind};
use crate::domain::decision::{Action, Decision};
use crate::domain::event::{Action as EventAction, JobEvent};
use crate::domain::facts::Facts;
use crate::domain::ids::{JobId, RunnerId};
use crate::domain::runner::RunnerState;
use crate::ports::Failure;
use crate::ports::github::{Deletion, RunCommand};

/// Does one action of a decision.
pub(super) async fn perform(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
    action: Action,
) -> Result<(), Failure> {
    match action {
        Action::Provision => match provision::provision(gate, repository, event).await {
            Err(Failure::Permanent(why)) => {
                raise(gate, AlertKind::RunnerBootFailure, decision).await?;
                Err(Failure::Permanent(why))
            }
            Ok(()) if gate.host.is_some() => {
                let kind = AlertKind::RunnerBootFailure;
                gate.alerts.over(kind, Some(&repository.name), "-", None).await
            }
            outcome => outcome,
        },
        Action::DestroyRunner => destroy_runner(gate, repository, event).await,
        Action::Rebind => rebind(gate, repository, event).await,
        Action::CancelRun | Action::ForceCancelRun | Action::RerunRun => {
            command_run(gate, repository, event, action).await
        }
        Action::Alert(kind) => raise(gate, kind, decision).await,
        Action::Rollback => roll_back(gate, repository, decision).await,
        Action::Retry => Ok(()),
    }
}

async fn raise(gate: &Gate, kind: AlertKind, decision: &Decision) -> Result<(), Failure> {
    gate.alerts.raise(Alert::of(kind, decision)).await
}

/// Cancels or re-runs a run, once per attempt however many of its jobs ask for it.
async fn command_run(gate: &Gate, repository: &Repository, event: &JobEvent, action: Action) -> Result<(), Failure> {
    let (name, run, attempt) = (&repository.name, event.job.run_id, event.job.run_attempt);
    let key = run.to_string();
    let record: RunRecord = records::load(gate.ledger.as_ref(), &key).await?.unwrap_or_default();
    let done = match action {
        Action::CancelRun => record.cancelled_attempt.max(record.force_cancelled_attempt),
        Action::ForceCancelRun => record.force_cancelled_attempt,
        _ => record.rerun_attempt,
    };
    if done >= Some(attempt) {
        return Ok(());
    }
    if action == Action::RerunRun && record.rerun_attempt.is_some_and(|before| before + 1 == attempt) {
        // Its workflow asks for us whatever the variable says: another re-run would come back as well.
        tracing::warn!(run = run.0, repository = %name, "run {run} asks for self-hosted runners again after its re-run");
        return Ok(());
    }
    let outcome = match action {
        Action::CancelRun => gate.github.cancel_run(name, run).await?,
        Action::ForceCancelRun => gate.github.force_cancel_run(name, run).await?,
        _ => gate.github.rerun_run(name, run).await?,
    };
    if action == Action::RerunRun && outcome == RunCommand::TooLate {
        // Its cancellation takes effect later; only then can it run again.
        return Err(Failure::Transient(format!("run {run} of {name} has not ended yet")));
    }
    tracing::info!(run = run.0, repository = %name, action = %action, ?outcome, "told GitHub: {action} for run {run}");
    records::update(
        gate.ledger.as_ref(),
        &key,
        gate.settings.retention,
        |old: Option<RunRecord>| {
            let mut record = old.unwrap_or_default();
            let field = match action {
                Action::CancelRun => &mut record.cancelled_attempt,
                Action::ForceCancelRun => &mut record.force_cancelled_attempt,
                _ => &mut record.rerun_attempt,
            };
            *field = (*field).max(Some(attempt));
            Some(record)
        },
    )
    .await?;
    Ok(())
}

/// Switches self-hosted routing off, once for a run: late events of it don't undo what a person did since. Recorded first,
/// so that a job in the queue is not served in between.
async fn roll_back(gate: &Gate, repository: &Repository, decision: &Decision) -> Result<(), Failure> {
    let (ledger, retention) = (gate.ledger.as_ref(), gate.settings.retention);
    let (name, job, run) = (&repository.name, decision.job.id, decision.job.run_id.to_string());
    let done: Option<RunRecord> = records::load(ledger, &run).await?;
    if done.is_some_and(|record| record.rolled_back) {
        return Ok(());
    }
    let at = gate.clock.now();
    records::update(ledger, name.as_str(), retention, |old: Option<RepositoryRecord>| {
        let mut record = old.unwrap_or_default();
        record.rolled_back.get_or_insert(RolledBack { at, job });
        Some(record)
    })
    .await?;
    gate.github.set_variable(name, &repository.variable, "false").await?;
    gate.recall.forget_variable(name);
    tracing::error!(repository = %name, job = job.0, "self-hosted routing of {name} was switched off");
    raise(gate, AlertKind::Rollback, decision).await?;
    records::update(ledger, &run, retention, |old: Option<RunRecord>| {
        let mut record = old.unwrap_or_default();
        record.rolled_back = true;
        Some(record)
    })
    .await?;
    Ok(())
}

/// Once a person has switched routing on again, what jitgate did before is over: switched off later, it drains.
pub(super) async fn forget_rollback(gate: &Gate, repository: &Repository, facts: &Facts) -> Result<(), Failure> {
    let switched_on = facts.variable.known().filter(|variable| variable.is_true());
    let (true, Some(on_since)) = (facts.ledger.rolled_back, switched_on.and_then(|on| on.updated_at)) else {
        return Ok(());
    };
    // An answer from before the rollback says nothing about what came after it.
    let is_over = |record: &RepositoryRecord| record.rolled_back.as_ref().is_some_and(|it| it.at < on_since);
    let (ledger, name) = (gate.ledger.as_ref(), &repository.name);
    if !records::load(ledger, name.as_str())
        .await?
        .is_some_and(|record| is_over(&record))
    {
        return Ok(());
    }
    gate.alerts.over(AlertKind::Rollback, Some(name), "-", None).await?;
    records::update(
        ledger,
        name.as_str(),
        gate.settings.retention,
        |old: Option<RepositoryRecord>| {
            let mut record = old.filter(is_over)?;
            record.rolled_back = None;
            Some(record)
        },
    )
    .await?;
    Ok(())
}

/// Destroys the runner of ours that took the job; where none did, the one that was made for it.
async fn destroy_runner(gate: &Gate, repository: &Repository, event: &JobEvent) -> Result<(), Failure> {
    if let Some(runner) = &event.job.runner
        && load_runner(gate, repository, runner.id).await?.is_some()
    {
        return tear_down(gate, repository, runner.id).await;
    }
    let record: Option<JobRecord> = gate.job(event.job.id).await?;
    match record.and_then(|record| record.runner).and_then(|runner| runner.id) {
        Some(id) => tear_down(gate, repository, id).await,
        None => Ok(()),
    }
}

async fn load_runner(gate: &Gate, repository: &Repository, id: RunnerId) -> Result<Option<RunnerRecord>, Failure> {
    let key = runner_key(repository.scope.repository(), id);
    records::load(gate.ledger.as_ref(), &key).await
}

/// Ends a runner: environment first, then GitHub's record, then our own say it is over.
pub(super) async fn tear_down(gate: &Gate, repository: &Repository, id: RunnerId) -> Result<(), Failure> {
    let Some(runner) = load_runner(gate, repository, id).await? else {
        return Ok(());
    };
    if let Some(host) = &gate.host {
        host.destroy(&crate::ports::runner_host::SlotId(runner.slot.clone()))
            .await?;
    }
    if gate.github.delete_runner(&repository.scope, id).await? == Deletion::Busy {
        return Err(Failure::Transient(format!(
            "runner {id} is destroyed, and GitHub still shows it busy"
        )));
    }
    set_runner_state(gate, repository, id, RunnerState::Ended).await?;
    set_job_runner_state(gate, runner.made_for, id, RunnerState::Ended).await
}

async fn set_runner_state(
    gate: &Gate,
    repository: &Repository,
    id: RunnerId,
    state: RunnerState,
) -> Result<(), Failure> {
    let key = runner_key(repository.scope.repository(), id);
    records::update(
        gate.ledger.as_ref(),
        &key,
        gate.settings.retention,
        |old: Option<RunnerRecord>| {
            let mut record = old?;
            record.state = record.state.max(state);
            Some(record)
        },
    )
    .await?;
    Ok(())
}

async fn set_job_runner_state(gate: &Gate, job: JobId, id: RunnerId, state: RunnerState) -> Result<(), Failure> {
    records::update(
        gate.ledger.as_ref(),
        &job.to_string(),
        gate.settings.retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            let runner = record.runner.as_mut().filter(|runner| runner.id == Some(id))?;
            runner.state = runner.state.max(state);
            Some(record)
        },
    )
    .await?;
    Ok(())
}

/// A trusted job took the runner that was made for another one: the runner is this job's now, and the other job gets this
/// job's runner, or a new one. The runner's own record changes last, so that a repetition still knows the other job.
async fn rebind(gate: &Gate, repository: &Repository, event: &JobEvent) -> Result<(), Failure> {
    let Some(taken) = &event.job.runner else {
        return Ok(());
    };
    let (job, retention) = (event.job.id, gate.settings.retention);
    let Some(runner) = load_runner(gate, repository, taken.id).await? else {
        return Ok(());
    };
    let other = runner.made_for;
    if other == job {
        return Ok(());
    }
    let spare = gate
        .job(job)
        .await?
        .and_then(|record| record.runner)
        .filter(|spare| spare.state.is_alive() && spare.id.is_some_and(|id| id != taken.id));
    let mut left_without = false;
    records::update(
        gate.ledger.as_ref(),
        &other.to_string(),
        retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            record.runner.as_ref().filter(|runner| runner.id == Some(taken.id))?;
            record.runner.clone_from(&spare);
            // What was taken from it does not count as its attempt.
            record.mints_stolen += u32::from(spare.is_none());
            Some(record)
        },
    )
    .await?;
    let other_record = gate.job(other).await?;
    if let Some(record) = &other_record {
        left_without = record.runner.is_none() && !record.progress.is_past_queued();
    }
    if let Some(id) = spare.as_ref().and_then(|spare| spare.id) {
        make_for(gate, repository, id, other).await?;
    }
    records::update(
        gate.ledger.as_ref(),
        &job.to_string(),
        retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            record.runner = Some(JobRunner {
                name: runner.name.clone(),
                state: RunnerState::Running,
                id: Some(taken.id),
            });
            Some(record)
        },
    )
    .await?;
    if left_without {
        queue_again(gate, other_record.as_ref()).await?;
    }
    make_for(gate, repository, taken.id, job).await
}

async fn make_for(gate: &Gate, repository: &Repository, id: RunnerId, job: JobId) -> Result<(), Failure> {
    let key = runner_key(repository.scope.repository(), id);
    records::update(
        gate.ledger.as_ref(),
        &key,
        gate.settings.retention,
        |old: Option<RunnerRecord>| {
            let mut record = old?;
            record.made_for = job;
            Some(record)
        },
    )
    .await?;
    Ok(())
}

/// Has a job decided on again: the delivery that got it a runner goes back into the queue.
async fn queue_again(gate: &Gate, record: Option<&JobRecord>) -> Result<(), Failure> {
    let admitted = record.and_then(|record| {
        record
            .decisions
            .iter()
            .rev()
            .find(|entry| entry.decision.actions.contains(&Action::Provision))
    });
    if let Some(entry) = admitted {
        gate.queue.requeue(&entry.decision.delivery).await?;
    }
    Ok(())
}

/// Notes what an event says about a runner of ours: a job runs on it, or it has done its one job and goes.
pub(super) async fn follow_runner(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
) -> Result<(), Failure> {
    let Some(taken) = &event.job.runner else {
        return victim_of(gate, repository, event, decision).await;
    };
    match event.action {
        EventAction::InProgress => {
            set_runner_state(gate, repository, taken.id, RunnerState::Running).await?;
            set_job_runner_state(gate, event.job.id, taken.id, RunnerState::Running).await?;
        }
        EventAction::Completed => tear_down(gate, repository, taken.id).await?,
        EventAction::Queued | EventAction::Waiting => {}
    }
    victim_of(gate, repository, event, decision).await
}

/// Whoever lost its runner to a thief is decided on again. Thefts don't use up the victim's attempts.
async fn victim_of(gate: &Gate, repository: &Repository, event: &JobEvent, decision: &Decision) -> Result<(), Failure> {
    let stolen = decision.actions.contains(&Action::Alert(AlertKind::StolenRunner));
    let Some(taken) = event.job.runner.as_ref().filter(|_| stolen) else {
        return Ok(());
    };
    let Some(runner) = load_runner(gate, repository, taken.id).await? else {
        return Ok(());
    };
    let victim = records::update(
        gate.ledger.as_ref(),
        &runner.made_for.to_string(),
        gate.settings.retention,
        |old: Option<JobRecord>| {
            let mut record = old?;
            record.runner.take_if(|runner| runner.id == Some(taken.id))?;
            record.mints_stolen += 1;
            Some(record)
        },
    )
    .await?;
    // Also when a crash came between the two.
    let left_without = victim.filter(|record| record.runner.is_none() && !record.progress.is_past_queued());
    queue_again(gate, left_without.as_ref()).await
}
