//! The job gate: the check between a runner's start and the first step of its job.
//!
//! The hook of the job has called and waits. Its own statements are only hints: GitHub says which job is on this
//! runner. That job is decided on anew, also if the runner was made for another one. A trusted pool job that is
//! admitted now passes and keeps its verdict. Any other job loses the runner, and its slot is destroyed.

use super::lifecycle;
use super::record::{advance_runner, change_runner, note_job, note_start};
use crate::app::context::Context;
use crate::app::events::process::{Processed, Request, Stage, process_event};
use crate::app::jobs::assignment;
use crate::app::jobs::record::change_job;
use crate::app::records::{Entered, RunnerRecord};
use crate::app::settings::Repository;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::decision::Action;
use crate::domain::event::{self, Job, JobEvent, JobStatus};
use crate::domain::facts::Admitted;
use crate::domain::ids::{DeliveryId, RunId};
use crate::domain::job::Progress;
use crate::domain::pin::RepositoryIds;
use crate::domain::reason;
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::domain::slot::{Hello, SlotId};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunnerScope};

/// The result of [`judge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Judged {
    /// The gate was opened, the runner was ended, or the runner is no longer at the gate.
    Answered,
    /// GitHub shows no job on the runner yet.
    Unknown,
}

/// Finds the job at the gate of a runner, and answers it.
pub(in crate::app) async fn judge(ctx: &Context, name: &str, hello: &Hello) -> Result<Judged, Failure> {
    let Some(runner) = advance_runner(ctx, name, RunnerEvent::Knocked).await? else {
        return Ok(Judged::Answered);
    };
    let Some((repository, job)) = find(ctx, &runner, hello).await? else {
        return Ok(Judged::Unknown);
    };
    if let Some(on) = &job.runner {
        note_job(ctx, on, job.id).await?;
    }
    match admit(ctx, repository, &runner, &job).await? {
        Some(admitted) => let_through(ctx, &runner, &job, &admitted).await?,
        None => refuse(ctx, repository, &runner, &job).await?,
    }
    Ok(Judged::Answered)
}

async fn refuse(ctx: &Context, repository: &Repository, runner: &RunnerRecord, job: &Job) -> Result<(), Failure> {
    if job.id == runner.job {
        // GitHub fails the job once its runner is gone, so the job runs nowhere else.
        change_job(ctx, job.id, |record| {
            record.progress = record.progress.max(Progress::InProgress)
        })
        .await?;
    }
    let why = format!("job {} of {} must not use it", job.id, repository.name);
    lifecycle::end(ctx, &runner.name, Outcome::GateRefused, Some(&why)).await
}

async fn let_through(ctx: &Context, runner: &RunnerRecord, job: &Job, admitted: &Admitted) -> Result<(), Failure> {
    // The permission is stored before the gate opens. After a crash in between, the gate opens again, and a theft that
    // is found later is recognized.
    let now = ctx.clock.now();
    let may_pass = change_runner(ctx, &runner.name, |runner| {
        runner.advance(RunnerEvent::Admitted, now);
        runner.passed_gate && runner.state.is_alive()
    });
    if may_pass.await? != Some(true) {
        return Ok(());
    }
    assignment::start(ctx, runner, job.id, admitted, now).await?;
    open(ctx, runner).await?;
    // A runner has come up, so earlier failures are over.
    for of in [None, Some(&runner.repository)] {
        let key = AlertKey::new(AlertKind::RunnerBootFailure, of);
        ctx.alerts.over(&key, None).await?;
    }
    Ok(())
}

/// Opens the gate of a runner whose job has passed.
pub(in crate::app) async fn open(ctx: &Context, runner: &RunnerRecord) -> Result<(), Failure> {
    let Some(host) = &ctx.host else { return Ok(()) };
    host.open_gate(&SlotId(runner.slot.clone())).await?;
    note_start(ctx, &runner.name, ctx.clock.now()).await?;
    tracing::info!(
        job = runner.job.0,
        runner = runner.name,
        "opened the gate of runner {}",
        runner.name
    );
    Ok(())
}

/// Returns the job that GitHub shows on a runner. The candidates are the job that the runner serves, the job that an
/// event named, and the jobs of the run that the guest names.
async fn find<'g>(
    ctx: &'g Context,
    runner: &RunnerRecord,
    hello: &Hello,
) -> Result<Option<(&'g Repository, Job)>, Failure> {
    let runs_on = |job: &Job| {
        let is_it = |on: &event::JobRunner| runner.id.map_or(on.name == runner.name, |id| on.id == id);
        job.status == JobStatus::InProgress && job.runner.as_ref().is_some_and(is_it)
    };
    let Some(own) = ctx.settings.repository(runner.repository.as_str()) else {
        return Ok(None);
    };
    let claimed = hello
        .repository
        .as_deref()
        .and_then(|name| ctx.settings.repository(name));
    let claimed = claimed.filter(|claimed| claimed.name == own.name || share_runners(&claimed.scope, &own.scope));
    let candidates = [
        Some((own, runner.job)),
        runner.taken_by.map(|job| (claimed.unwrap_or(own), job)),
    ];
    for (repository, job) in candidates.into_iter().flatten() {
        let found = ctx.github.job(&repository.name, job, Purpose::Admit).await?;
        if let Some(found) = found.filter(runs_on) {
            return Ok(Some((repository, found)));
        }
    }
    let (Some(repository), Some(run)) = (claimed, hello.run_id) else {
        return Ok(None);
    };
    let jobs = ctx
        .github
        .jobs_of_run(&repository.name, RunId(run), Purpose::Admit)
        .await?;
    Ok(jobs.into_iter().find(runs_on).map(|job| (repository, job)))
}

/// Returns true if GitHub can give a runner of one scope to jobs of the other.
fn share_runners(one: &RunnerScope, other: &RunnerScope) -> bool {
    match (one, other) {
        (RunnerScope::Organization(one), RunnerScope::Organization(other)) => {
            one.owner().eq_ignore_ascii_case(other.owner())
        }
        _ => false,
    }
}

/// Returns the verdict with which a job may start on a runner, or none if it must not. Every fact is asked anew,
/// because it can have changed since the runner was made. The actions of the decision are done.
async fn admit(
    ctx: &Context,
    repository: &Repository,
    runner: &RunnerRecord,
    job: &Job,
) -> Result<Option<Admitted>, Failure> {
    let Some(delivery) = DeliveryId::parse(&format!("gate-{}", runner.name.replace('.', "_"))) else {
        return Ok(None);
    };
    let event = JobEvent {
        action: event::Action::InProgress,
        repository: repository.name.to_string(),
        ids: RepositoryIds::default(),
        job: job.clone(),
        synthesized: false,
    };
    let knocked = |entered: &&Entered| entered.state == RunnerState::Gated;
    let request = Request {
        delivery: &delivery,
        received_at: (runner.history.iter().find(knocked)).map_or_else(|| ctx.clock.now(), |entered| entered.at),
        attempts: 0,
        stage: Stage::JobGate(job),
    };
    let Processed { decision, .. } = process_event(ctx, &request, repository, &event).await?;
    match decision.admission.verdict {
        AdmissionVerdict::Admit => Ok(Some(Admitted {
            pull_request: decision.trust.pull_request,
            author: decision.author.clone(),
            state: decision.routing.state,
            verdict: decision.routing.verdict,
        })),
        // GitHub owes an answer. If it does not come, the gate deadline ends the runner.
        AdmissionVerdict::Hold => {
            let reasons = reason::join(&decision.admission.reasons);
            Err(Failure::Transient(format!(
                "job {} is not admitted yet: {reasons}",
                job.id
            )))
        }
        AdmissionVerdict::Deny | AdmissionVerdict::None => {
            let told = decision.actions.contains(&Action::Alert(AlertKind::StolenRunner));
            if job.id != runner.made_for && !told {
                let what = format!(
                    "GitHub gave runner {} to job {}, which must not have a runner",
                    runner.name, job.id
                );
                let key = AlertKey::new(AlertKind::StolenRunner, Some(&repository.name)).caused_by("gate");
                let alert = Alert::new(&key, Some(job.id), &what, ctx.clock.now());
                ctx.alerts.raise(alert).await?;
            }
            Ok(None)
        }
    }
}
