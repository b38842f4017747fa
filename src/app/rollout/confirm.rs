//! Confirmation of queue waits at GitHub before they switch routing off.
//!
//! The waits rest on times in deliveries. A delivery can be forged by anyone who knows the webhook secret, and routing that
//! is off stays off until a person acts. So GitHub is asked for the few jobs that hit the trigger, and its times replace the
//! reported ones in the measured runs: a wait that is not real does not hit again.

use crate::app::context::Context;
use crate::app::rollout::record::record_of;
use crate::app::rollout::refresh;
use crate::app::settings::Repository;
use crate::domain::ids::JobId;
use crate::domain::rollout::{Doubt, Grounds, LiveTimes, MeasuredJob, MeasuredRun, Period, Waits, doubtful};
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use std::time::Duration;

/// Time for one question, so that a GitHub that hangs does not delay the other triggers. The next pass asks again.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks GitHub about the waits that are in doubt, and corrects the runs. Returns the doubt that is left because GitHub gave
/// no answer.
///
/// # Errors
/// The failure of the ledger.
pub(super) async fn confirm(
    ctx: &Context,
    repository: &Repository,
    runs: &mut [MeasuredRun],
) -> Result<Option<Doubt>, Failure> {
    let (record, now) = (record_of(ctx, repository).await?, ctx.clock.now());
    if !record.canary.phase.is_on() {
        return Ok(None);
    }
    let jobs = in_doubt(ctx, record.period(), runs, now);
    if jobs.is_empty() {
        return Ok(None);
    }
    if let Some(doubt) = record.doubt.filter(|doubt| !doubt.asks(now)) {
        return Ok(Some(doubt));
    }
    let answers = join_all(jobs.iter().map(|job| ask(ctx, repository, *job))).await;
    let believes_absence = record.doubt.is_some_and(|doubt| doubt.believes_absence(now));
    let mut is_answered = true;
    for (job, answer) in jobs.into_iter().zip(answers) {
        match answer {
            Ok(live) if !live.exists && !believes_absence => is_answered = false,
            Ok(live) => correct(ctx, repository, runs, job, live).await?,
            Err(failure) => {
                is_answered = false;
                tracing::warn!(repository = %repository.name, %job, %failure, "GitHub does not confirm a queue wait that would switch routing off");
            }
        }
    }
    // The next pass asks about further jobs.
    let is_settled = is_answered || in_doubt(ctx, record.period(), runs, now).is_empty();
    Ok((!is_settled).then(|| Doubt::unanswered(record.doubt, now)))
}

fn in_doubt(ctx: &Context, period: Period, runs: &[MeasuredRun], now: DateTime<Utc>) -> Vec<JobId> {
    let grounds = Grounds {
        period,
        runs,
        mismatches: &[],
        outage: None,
        waits: Waits::Reported,
        now,
    };
    doubtful(&ctx.settings.rollout, &grounds)
}

/// The answer undoes a fault or makes a rollback sound, so it may use the whole quota: outsiders can use up the rest.
async fn ask(ctx: &Context, repository: &Repository, job: JobId) -> Result<LiveTimes, Failure> {
    let asked_at = ctx.clock.now();
    let answer = tokio::time::timeout(ASK_TIMEOUT, ctx.github.job(&repository.name, job, Purpose::Admit)).await;
    let late = |_| Failure::Transient("GitHub does not answer in time".to_owned());
    let found = answer.map_err(late)??;
    Ok(LiveTimes::of(found.as_ref(), asked_at))
}

/// Stores GitHub's times of a job.
async fn correct(
    ctx: &Context,
    repository: &Repository,
    runs: &mut [MeasuredRun],
    job: JobId,
    live: LiveTimes,
) -> Result<(), Failure> {
    let Some(run) = runs.iter_mut().find(|run| run.jobs.contains_key(&job)) else {
        return Ok(());
    };
    if let Some(reported) = run.jobs.get_mut(&job) {
        let corrected = MeasuredJob {
            live: Some(live),
            ..reported.clone()
        };
        let corrected = corrected.corrected(ctx.clock.now());
        let times = |job: &MeasuredJob| (job.created_at, job.started_at, job.ended_at, job.lifecycle);
        if times(&corrected) != times(reported) {
            let (of_delivery, of_github) = (times(reported), times(&corrected));
            tracing::warn!(repository = %repository.name, run = %run.run, %job, ?of_delivery, ?of_github, "GitHub shows other times of a job than its deliveries, and its times count");
        }
        *reported = corrected;
    }
    refresh::store(ctx, &repository.name, run).await
}
