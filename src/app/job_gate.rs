//! The job gate: who is at the gate of a runner, and whether they may go on.
//!
//! A job's hook has called and waits; no step of it has run. What it says of itself only tells where to look: which job
//! is on this runner, GitHub says. The job that the runner was made for goes on. Any other is decided on like an event of
//! its own: a Trusted Pool job of people who may have runners keeps it, everything else loses it with all that is in it.

use super::gate::Gate;
use super::records::RunnerRecord;
use super::settings::Repository;
use super::{decide, runners, wants};
use crate::domain::admission;
use crate::domain::alert::{Alert, AlertKind};
use crate::domain::decision::{Action, Decision};
use crate::domain::event::{self, Job, JobEvent, JobStatus};
use crate::domain::facts::Fact;
use crate::domain::ids::{DeliveryId, RunId};
use crate::domain::job::{Progress, ServiceEvent};
use crate::domain::labels::LabelsClass;
use crate::domain::runner::{Outcome, RunnerEvent};
use crate::domain::trust::Trust;
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunnerScope};
use crate::ports::runner_host::{Hello, SlotId};

/// Finds out who is at the gate and answers. Gives false while GitHub does not show any job on the runner.
pub(super) async fn judge(gate: &Gate, name: &str, hello: &Hello) -> Result<bool, Failure> {
    let Some(runner) = runners::note(gate, name, RunnerEvent::Knocked).await? else {
        return Ok(true);
    };
    let Some((repository, job)) = find(gate, &runner, hello).await? else {
        return Ok(false);
    };
    if let Some(on) = &job.runner {
        runners::note_taken(gate, on, job.id).await?;
    }
    let may_go_on = job.id == runner.made_for || is_entitled(gate, repository, &runner, job.clone()).await?;
    if !may_go_on {
        let why = format!("job {} of {} has no right to it", job.id, repository.name);
        runners::end(gate, name, Outcome::GateRefused, Some(&why)).await?;
        return Ok(true);
    }
    let now = gate.clock.now();
    // On record before it is done: a crash in between opens the gate again, and a theft found later knows of it.
    let admitted = runners::change(gate, name, |record| record.advance(RunnerEvent::Admitted, now)).await?;
    if admitted.is_none_or(|record| !record.passed_gate || !record.state.is_alive()) {
        return Ok(true);
    }
    wants::update_job(gate, job.id, |record| {
        record.progress = record.progress.max(Progress::InProgress);
        record.advance(
            ServiceEvent::Begin,
            now,
            format!("let through the gate of runner {name}"),
        )
    })
    .await?;
    wants::forget(gate, job.id).await?;
    open(gate, &runner).await?;
    // Runners come up here, whatever was wrong before.
    for of in [None, Some(&runner.repository)] {
        gate.alerts.over(AlertKind::RunnerBootFailure, of, "-", None).await?;
    }
    Ok(true)
}

/// Opens the gate of a runner whose job was let through.
pub(super) async fn open(gate: &Gate, runner: &RunnerRecord) -> Result<(), Failure> {
    let Some(host) = &gate.host else { return Ok(()) };
    host.open_gate(&SlotId(runner.slot.clone())).await?;
    tracing::info!(
        job = runner.job.0,
        runner = runner.name,
        "opened the gate of runner {}",
        runner.name
    );
    Ok(())
}

/// The job that GitHub shows on a runner: most likely the one it was made for; else one that an event named; else one of
/// the run that the guest names.
async fn find<'g>(
    gate: &'g Gate,
    runner: &RunnerRecord,
    hello: &Hello,
) -> Result<Option<(&'g Repository, Job)>, Failure> {
    let runs_on = |job: &Job| {
        let is_it = |on: &event::JobRunner| runner.id.map_or(on.name == runner.name, |id| on.id == id);
        job.status == JobStatus::InProgress && job.runner.as_ref().is_some_and(is_it)
    };
    let Some(own) = gate.settings.repository(runner.repository.as_str()) else {
        return Ok(None);
    };
    let claimed = hello
        .repository
        .as_deref()
        .and_then(|name| gate.settings.repository(name));
    let claimed = claimed.filter(|claimed| claimed.name == own.name || share_runners(&claimed.scope, &own.scope));
    let candidates = [
        Some((own, runner.job)),
        runner.taken_by.map(|job| (claimed.unwrap_or(own), job)),
    ];
    for (repository, job) in candidates.into_iter().flatten() {
        let found = gate.github.job(&repository.name, job, Purpose::Admit).await?;
        if let Some(found) = found.filter(runs_on) {
            return Ok(Some((repository, found)));
        }
    }
    let (Some(repository), Some(run)) = (claimed, hello.run_id) else {
        return Ok(None);
    };
    let jobs = gate
        .github
        .jobs_of_run(&repository.name, RunId(run), Purpose::Admit)
        .await?;
    Ok(jobs.into_iter().find(runs_on).map(|job| (repository, job)))
}

/// Whether a runner of one scope can be given jobs of the other.
fn share_runners(one: &RunnerScope, other: &RunnerScope) -> bool {
    match (one, other) {
        (RunnerScope::Organization(one), RunnerScope::Organization(other)) => {
            one.owner().eq_ignore_ascii_case(other.owner())
        }
        _ => false,
    }
}

/// Whether a job may have the runner that was made for another one. Everything that follows for either job is done.
async fn is_entitled(gate: &Gate, repository: &Repository, runner: &RunnerRecord, job: Job) -> Result<bool, Failure> {
    let Some(delivery) = DeliveryId::parse(&format!("gate-{}", runner.name.replace('.', "_"))) else {
        return Ok(false);
    };
    let event = JobEvent {
        action: event::Action::InProgress,
        repository: repository.name.to_string(),
        is_public: false,
        job,
    };
    let asked = decide::Asked {
        delivery: &delivery,
        received_at: gate.clock.now(),
        attempts: 0,
        has_environment: true,
    };
    let (decision, _) = gate.decide(&asked, repository, &event).await?;
    if decision.trust.verdict == Trust::Unknown {
        // GitHub owes an answer: the deadline of the gate decides if it stays owed.
        return Err(Failure::Transient(format!(
            "the trust of job {} is undecided",
            event.job.id
        )));
    }
    if !may_have_it(&decision) {
        // The decision has said so to whom it may concern.
        return Ok(false);
    }
    let permitted = is_permitted(gate, repository, &event, &decision).await?;
    if !permitted {
        let what = format!(
            "runner {} was given to job {}, which may have none",
            runner.name, event.job.id
        );
        let (kind, now) = (AlertKind::StolenRunner, gate.clock.now());
        let alert = Alert::about(kind, Some(&repository.name), "gate", Some(event.job.id), &what, now);
        gate.alerts.raise(alert).await?;
    }
    Ok(permitted)
}

fn may_have_it(decision: &Decision) -> bool {
    decision.trust.verdict == Trust::Trusted
        && decision.labels_class == LabelsClass::Pool
        && !decision.actions.contains(&Action::DestroyRunner)
}

/// Whether the people behind the job may have runners at all: without this, one that admission refuses would only have
/// to wait for somebody else's.
async fn is_permitted(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    decision: &Decision,
) -> Result<bool, Failure> {
    let Some(record) = gate.job(event.job.id).await? else {
        return Ok(false);
    };
    let Some(entry) = record.entry(&decision.delivery) else {
        return Ok(false);
    };
    let policy = &repository.policy.trust;
    for (_, user) in admission::people(&entry.facts, policy) {
        let Some(user) = user else { return Ok(false) };
        let permission = gate
            .github
            .permission(&repository.name, &user.login, Purpose::Admit)
            .await?;
        let Some(permission) = permission else {
            // One absence decides nothing; the deadline of the gate does.
            let (login, name) = (&user.login, &repository.name);
            return Err(Failure::Transient(format!("GitHub knows no {login} in {name}")));
        };
        if !policy.suffices(permission) {
            return Ok(false);
        }
    }
    Ok(matches!(entry.facts.run, Fact::Known(_)))
}
