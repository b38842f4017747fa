//! Makes one just-in-time runner for one job, in a ready slot.
//!
//! The job is decided on again unless that happened a moment ago, because its facts can have changed in the queue. The
//! name is stored before the request is sent. A request without an answer is never repeated: the runner ends, any
//! runner at GitHub with its name is removed, and the next runner of the job has another name.

use super::lifecycle;
use super::record::change_runner;
use crate::app::context::Context;
use crate::app::events::github_cache::PULLS_AT_ADMISSION;
use crate::app::events::process::{Processed, Request, Stage, process_event};
use crate::app::jobs::assignment::{self, Assigned};
use crate::app::jobs::record::{change_job, load_job};
use crate::app::jobs::waiting;
use crate::app::records::{self, JobRecord, WaitingRecord};
use crate::app::repositories::pins::{self, Meaning};
use crate::app::settings::Repository;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::JobId;
use crate::domain::job::{Service, ServiceEvent};
use crate::domain::reason::{self, Reason};
use crate::domain::retry::backoff;
use crate::domain::runner::{Outcome, RunnerEvent};
use crate::domain::slot::SlotId;
use crate::ports::github::{JitOutcome, JitRequest, JitRunner};
use crate::ports::{Event, Failure, RunnerHost};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Makes a runner for a waiting job, in a ready slot.
pub(in crate::app) async fn serve(
    ctx: &Context,
    host: &dyn RunnerHost,
    job: JobId,
    slot: &SlotId,
) -> Result<(), Failure> {
    let ledger = ctx.ledger.as_ref();
    let Some(waiting) = records::load::<WaitingRecord>(ledger, &job.to_string()).await? else {
        return Ok(());
    };
    let (Some(repository), Some(record)) = (
        ctx.settings.repository(waiting.repository.as_str()),
        load_job(ctx, job).await?,
    ) else {
        return waiting::forget(ctx, job).await;
    };
    match record.service {
        Service::Wanted => {}
        // A crash separated the two records. The decision below shows if the job needs a runner.
        Service::Unwanted => {
            let now = ctx.clock.now();
            change_job(ctx, job, |record| {
                record.advance(ServiceEvent::Want, now, "waits for a runner")
            })
            .await?;
        }
        Service::Serving | Service::Served | Service::Closed | Service::GivenUp => {
            return waiting::forget(ctx, job).await;
        }
    }
    if clear_admission(ctx, repository, &waiting, &record).await? == Clearance::Withheld {
        return Ok(());
    }
    if let Some(until) = ctx.github.jit_not_before() {
        // GitHub would refuse the request, and the name would be used up.
        waiting::change(ctx, job, |waiting| waiting.not_before = Some(until)).await?;
        return Ok(());
    }
    if clear_repository(ctx, repository, &waiting).await? == Clearance::Withheld {
        return Ok(());
    }
    match assignment::assign(ctx, &waiting, &record, slot).await? {
        Assigned::Runner(name) => make(ctx, host, repository, &waiting, &name, slot).await,
        Assigned::Overtaken(name) if lifecycle::cancel(ctx, &name, job, None).await? => Ok(()),
        // A swap has handed the runner over to the job that lost its own.
        Assigned::Overtaken(name) => make(ctx, host, repository, &waiting, &name, slot).await,
        Assigned::Held => Ok(()),
    }
}

/// The result of a check before a runner is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clearance {
    Granted,
    /// The job was delayed or closed.
    Withheld,
}

/// Checks that the job is admitted now.
async fn clear_admission(
    ctx: &Context,
    repository: &Repository,
    waiting: &WaitingRecord,
    record: &JobRecord,
) -> Result<Clearance, Failure> {
    let job = waiting.event.job.id;
    let fresh = |decision: &Decision| {
        let age = ctx.clock.now() - decision.decided_at;
        decision.actions.contains(&Action::Provision) && age < PULLS_AT_ADMISSION
    };
    // The sizes can have changed since the decision.
    let has_its_size = repository.policy.labels.size_of(&waiting.event.job.labels) == waiting.size;
    if has_its_size
        && record
            .entry(&waiting.delivery)
            .is_some_and(|entry| fresh(&entry.decision))
    {
        return Ok(Clearance::Granted);
    }
    let request = Request {
        delivery: &waiting.delivery,
        received_at: waiting.received_at,
        attempts: waiting.tries,
        stage: Stage::Provision,
    };
    let Processed { decision, not_before } = process_event(ctx, &request, repository, &waiting.event).await?;
    match decision.admission.verdict {
        AdmissionVerdict::Admit => {
            waiting::change(ctx, job, |waiting| waiting.tries = 0).await?;
            return Ok(Clearance::Granted);
        }
        // The pool checks the quarantine itself.
        AdmissionVerdict::Hold if decision.admission.reasons == [Reason::Quarantined] => {}
        AdmissionVerdict::Hold => {
            let next = ctx.clock.now() + backoff(waiting.tries, 0.0);
            waiting::put_off(ctx, job, not_before.map_or(next, |until| until.max(next))).await?;
        }
        AdmissionVerdict::Deny | AdmissionVerdict::None => {
            let reasons = reason::join(&decision.admission.reasons);
            assignment::close(ctx, job, &format!("gets no runner: {reasons}")).await?;
        }
    }
    Ok(Clearance::Withheld)
}

/// Checks that the name still belongs to the pinned repository, by the current answer of GitHub: the request for a
/// runner goes to the owner of the name.
async fn clear_repository(
    ctx: &Context,
    repository: &Repository,
    waiting: &WaitingRecord,
) -> Result<Clearance, Failure> {
    let job = waiting.event.job.id;
    let until = match pins::check(ctx, repository).await {
        Ok(Meaning::Same) => return Ok(Clearance::Granted),
        Ok(Meaning::Changed) => {
            assignment::close(ctx, job, &format!("gets no runner: {}", Reason::RepositoryChanged)).await?;
            return Ok(Clearance::Withheld);
        }
        Ok(Meaning::Nothing) => {
            tracing::warn!(job = job.0, "GitHub does not know repository {}", repository.name);
            None
        }
        Err(Failure::RateLimited { until, .. }) => Some(until),
        Err(failure) => {
            tracing::warn!(job = job.0, %failure, "failed to identify repository {}", repository.name);
            None
        }
    };
    let next = ctx.clock.now() + backoff(waiting.tries, 0.0);
    waiting::put_off(ctx, job, until.map_or(next, |until| until.max(next))).await?;
    Ok(Clearance::Withheld)
}

async fn make(
    ctx: &Context,
    host: &dyn RunnerHost,
    repository: &Repository,
    waiting: &WaitingRecord,
    name: &str,
    slot: &SlotId,
) -> Result<(), Failure> {
    let job = &waiting.event.job;
    let request = JitRequest {
        name: name.to_owned(),
        runner_group_id: repository.runner_group_id,
        labels: job.labels.clone(),
    };
    let began = Instant::now();
    let answer = ctx.github.generate_jit(&repository.scope, &request).await;
    let took = began.elapsed();
    ctx.observer.observe(&Event::RunnerRequested { took });
    match answer {
        Ok(JitOutcome::Made(runner)) => start(ctx, host, repository, job.id, name, slot, runner).await,
        Ok(JitOutcome::NameTaken) => lifecycle::end(ctx, name, Outcome::NameTaken, None).await,
        // A refusal can pass, or a person can correct its cause, so the request is repeated after the same delays as a
        // lost answer.
        Ok(JitOutcome::Refused(why)) | Err(Failure::Permanent(why)) => {
            tracing::warn!(
                job = job.id.0,
                why,
                "GitHub refused a runner for job {}; the request is repeated",
                job.id
            );
            lifecycle::end(ctx, name, Outcome::Refused, Some(&why)).await
        }
        Err(failure) => {
            lifecycle::end(ctx, name, Outcome::Lost, Some(&failure.to_string())).await?;
            if let Failure::RateLimited { until, .. } = failure {
                put_off(ctx, job.id, until).await?;
            }
            Ok(())
        }
    }
}

async fn put_off(ctx: &Context, job: JobId, until: DateTime<Utc>) -> Result<(), Failure> {
    let latest = ctx.clock.now() + TimeDelta::hours(1);
    waiting::change(ctx, job, |waiting| {
        waiting.not_before = waiting.not_before.max(Some(until.min(latest)));
    })
    .await?;
    Ok(())
}

async fn start(
    ctx: &Context,
    host: &dyn RunnerHost,
    repository: &Repository,
    job: JobId,
    name: &str,
    slot: &SlotId,
    runner: JitRunner,
) -> Result<(), Failure> {
    let now = ctx.clock.now();
    let (id, config) = (runner.id, runner.config);
    let is_alive = change_runner(ctx, name, |record| {
        if record.advance(RunnerEvent::Made, now) {
            record.id = Some(id);
        }
        record.state.is_alive()
    });
    if is_alive.await? != Some(true) {
        // The job was cancelled meanwhile, when its runner could not be removed yet.
        ctx.github.delete_runner(&repository.scope, id).await?;
        return lifecycle::tear_down(ctx, name).await;
    }
    if let Err(failure) = host.claim(slot, name, config).await {
        // A machine with a temporary shortage costs the job no attempt.
        let outcome = match failure {
            Failure::Permanent(_) => Outcome::BootFailed,
            Failure::Transient(_) | Failure::RateLimited { .. } => Outcome::Lost,
        };
        return lifecycle::end(ctx, name, outcome, Some(&failure.to_string())).await;
    }
    tracing::info!(job = job.0, runner = id.0, name, "made runner {name} for job {job}");
    let now = ctx.clock.now();
    change_runner(ctx, name, |record| {
        record.advance(RunnerEvent::Started, now);
        record.evidence.claimed.get_or_insert(now);
    })
    .await?;
    Ok(())
}
