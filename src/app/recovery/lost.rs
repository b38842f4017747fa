//! Jobs that were lost with their machine after they had started: reported, and re-run once with `rollout.rerun_lost`.
//!
//! The event about the end of a job only notes the loss. The next check confirms it with GitHub's live record, raises the
//! alert and re-runs the run, so that a crash at any point is followed by another check.

use crate::app::context::Context;
use crate::app::jobs::record::change_job;
use crate::app::records::{self, LostRecord, Moment, RunnerRecord};
use crate::app::rollout::rerun::{Rerun, Why, rerun_once};
use crate::app::runners::record::runner_of_event;
use crate::app::settings::Repository;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::event::{Action, Job, JobEvent, JobStatus};
use crate::domain::policy::Mode;
use crate::domain::recovery::lost::is_lost;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::TimeDelta;

/// Time in which GitHub must confirm a loss, and in which the run must end.
const MAX_AGE: TimeDelta = TimeDelta::hours(24);

/// Notes a job that ended with its runner, once.
pub(in crate::app) async fn note(ctx: &Context, repository: &Repository, event: &JobEvent) -> Result<(), Failure> {
    let job = &event.job;
    let (Action::Completed, Some(on)) = (event.action, &job.runner) else {
        return Ok(());
    };
    let runner = runner_of_event(ctx, on).await?;
    let Some(runner) = runner.filter(|runner| was_lost_with(job, runner)) else {
        return Ok(());
    };
    let at = ctx.clock.now();
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    let is_new = records::update(
        ledger,
        &job.id.to_string(),
        retention,
        |record: &mut Option<LostRecord>| {
            let is_new = record.is_none();
            record.get_or_insert_with(|| LostRecord {
                job: job.id,
                run: job.run_id,
                attempt: job.run_attempt,
                repository: repository.name.clone(),
                runner: runner.name.clone(),
                at,
                is_settled: false,
            });
            is_new
        },
    )
    .await?;
    if is_new {
        let what = format!("was lost with runner {} after its start", runner.name);
        change_job(ctx, job.id, |record| {
            record.moments.push(Moment { at, what: what.clone() });
        })
        .await?;
    }
    Ok(())
}

/// Returns true if the job was lost together with the runner that was admitted for it.
fn was_lost_with(job: &Job, runner: &RunnerRecord) -> bool {
    runner.job == job.id && runner.has_served_its_job() && is_lost(job, runner.outcome)
}

/// Handles every noted loss. A failure about one does not prevent the others.
pub(super) async fn check(ctx: &Context) -> Result<(), Failure> {
    let mut failed = None;
    let all: Vec<LostRecord> = records::all(ctx.ledger.as_ref()).await?;
    for lost in all.iter().filter(|lost| !lost.is_settled) {
        match handle(ctx, lost).await {
            Ok(true) => settle(ctx, lost).await?,
            Ok(false) => {}
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Returns true if nothing is left to do about a loss.
async fn handle(ctx: &Context, lost: &LostRecord) -> Result<bool, Failure> {
    let (job, run, name) = (lost.job, lost.run, &lost.repository);
    if ctx.settings.repository(name.as_str()).is_none() {
        return Ok(true);
    }
    if ctx.clock.now() - lost.at >= MAX_AGE {
        tracing::warn!(
            job = job.0,
            "job {job} was lost, and its run {run} did not end within a day"
        );
        return Ok(true);
    }
    match ctx.github.job(name, job, Purpose::Judge).await? {
        None => return Ok(true),
        Some(live) if live.status != JobStatus::Completed => return Ok(false),
        Some(live) if !is_lost(&live, None) => return Ok(true),
        Some(_) => {}
    }
    let reruns = ctx.settings.rerun_lost && ctx.settings.mode == Mode::Enforce;
    report(ctx, lost, reruns).await?;
    if !reruns {
        return Ok(true);
    }
    match rerun_once(ctx, name, run, lost.attempt, Why::Lost).await? {
        Rerun::Running => Ok(false),
        Rerun::Done | Rerun::Gone | Rerun::Futile => Ok(true),
    }
}

async fn report(ctx: &Context, lost: &LostRecord, reruns: bool) -> Result<(), Failure> {
    let end = match (reruns, ctx.settings.mode) {
        (true, _) => "its run is re-run once",
        (false, Mode::Observe) => "its run is not re-run, because rollout.mode is observe",
        (false, Mode::Enforce) => "its run is not re-run, because rollout.rerun_lost is false",
    };
    let what = format!(
        "job {} was lost with runner {} after its start; {end}",
        lost.job, lost.runner
    );
    let key = AlertKey::new(AlertKind::JobLost, Some(&lost.repository));
    ctx.alerts
        .raise(Alert::new(&key, Some(lost.job), &what, ctx.clock.now()))
        .await
}

async fn settle(ctx: &Context, lost: &LostRecord) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::change(ledger, &lost.job.to_string(), retention, |record: &mut LostRecord| {
        record.is_settled = true;
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{JobId, RepositoryName};
    use crate::domain::runner::Outcome;
    use crate::domain::samples::{self, at};

    #[test]
    fn only_a_job_on_the_runner_that_was_admitted_for_it_is_lost() {
        let job = Job {
            conclusion: Some("failure".to_owned()),
            ..samples::job(JobStatus::Completed)
        };
        let repository = RepositoryName::parse("octo-org/chem-model").expect("a name");
        let mut idle = RunnerRecord::named("jg-1".to_owned(), "gate0001", repository, job.id, "slot-1", at(0));
        assert!(!was_lost_with(&job, &idle), "the job never passed the job gate");
        idle.passed_gate = true;
        let served = idle;
        assert!(was_lost_with(&job, &served));
        for (what, runner) in [
            (
                "the runner of another job",
                RunnerRecord {
                    job: JobId(9),
                    ..served.clone()
                },
            ),
            (
                "another job took it",
                RunnerRecord {
                    taken_by: Some(JobId(9)),
                    ..served.clone()
                },
            ),
            (
                "jitgate ended it",
                RunnerRecord {
                    outcome: Some(Outcome::TooLong),
                    ..served.clone()
                },
            ),
        ] {
            assert!(!was_lost_with(&job, &runner), "{what}");
        }
    }
}
