//! The decisions on the jobs of a pull request: on those that exist, and on those that could.
//!
//! Every decision is made by the rules and the questions of the worker. Nothing is stored, and no action is taken.

use crate::app::context::Context;
use crate::app::events::process::{Request, Stage, preview_event};
use crate::app::jobs::record::load_job;
use crate::app::settings::Repository;
use crate::domain::admission::MIN_GONE_ATTEMPTS;
use crate::domain::decision::Decision;
use crate::domain::event::{Action, Job, JobEvent, JobStatus};
use crate::domain::facts::{Fact, Facts, LiveJob};
use crate::domain::ids::{DeliveryId, JobId, RunId};
use crate::domain::imagined::PullRequest;
use crate::domain::pin::RepositoryIds;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use serde::Serialize;

/// The id of the decisions, which no delivery has.
const DELIVERY: &str = "preview";
/// The labels of a job on a hosted runner.
const HOSTED_LABELS: [&str; 1] = ["ubuntu-latest"];
/// Maximum number of runs whose jobs are shown, the newest first.
const MAX_RUNS: usize = 10;

/// The decisions on the jobs of a pull request.
#[derive(Debug, Serialize)]
pub struct PullPreview {
    pub pull_request: PullRequest,
    pub from_fork: bool,
    /// The decision on a job with our labels, and on one with a hosted label.
    pub imagined: Vec<Decision>,
    /// The jobs of the head commit at GitHub, of its newest runs.
    pub jobs: Vec<KnownJob>,
}

/// A job that exists.
#[derive(Debug, Serialize)]
pub struct KnownJob {
    pub id: JobId,
    pub run_id: RunId,
    pub name: String,
    pub status: JobStatus,
    pub source: Source,
    pub decision: Decision,
}

/// The source of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The newest record of the worker.
    Recorded,
    /// jitgate has no record of the job, so it was decided on for this preview.
    Now,
}

/// The reason why there is no preview.
#[derive(Debug)]
pub enum PreviewError {
    GitHub(Failure),
    Store(Failure),
}

/// Asks GitHub for a pull request, and decides on its jobs. Returns none if GitHub does not know its number.
///
/// # Errors
/// The failure of GitHub or of the store.
pub async fn preview(
    ctx: &Context,
    repository: &Repository,
    number: u64,
    workflow: &str,
) -> Result<Option<PullPreview>, PreviewError> {
    let name = &repository.name;
    let shown = ctx.github.pull_request(name, number, Purpose::Judge).await;
    let Some(pull) = shown.map_err(PreviewError::GitHub)? else {
        return Ok(None);
    };
    let hosted = HOSTED_LABELS.map(str::to_owned);
    let mut imagined = Vec::new();
    for labels in [repository.policy.labels.labels.as_slice(), &hosted] {
        let event = pull.imagined_event(name, labels, ctx.clock.now());
        let known = pull.imagined_facts(&event, workflow);
        let decision = decide(ctx, repository, &event, known).await;
        imagined.push(decision.map_err(PreviewError::Store)?);
    }
    let runs = ctx
        .github
        .runs_of_commit(name, &pull.pull.head_sha, Purpose::Judge)
        .await;
    let runs = runs.map_err(PreviewError::GitHub)?;
    let mut jobs = Vec::new();
    for run in runs.into_iter().take(MAX_RUNS) {
        let listed = ctx.github.jobs_of_run(name, run.id, Purpose::Judge).await;
        for job in listed.map_err(PreviewError::GitHub)? {
            let known = known_job(ctx, repository, job).await;
            jobs.push(known.map_err(PreviewError::Store)?);
        }
    }
    Ok(Some(PullPreview {
        from_fork: pull.is_from_fork(),
        pull_request: pull,
        imagined,
        jobs,
    }))
}

async fn known_job(ctx: &Context, repository: &Repository, job: Job) -> Result<KnownJob, Failure> {
    let record = load_job(ctx, job.id).await?;
    let recorded = record.and_then(|record| record.decisions.into_iter().next_back());
    let (source, decision) = match recorded {
        Some(entry) => (Source::Recorded, entry.decision),
        None => {
            let event = JobEvent {
                action: match job.status {
                    JobStatus::Queued => Action::Queued,
                    JobStatus::InProgress => Action::InProgress,
                    JobStatus::Completed => Action::Completed,
                    JobStatus::Waiting | JobStatus::Other => Action::Waiting,
                },
                repository: repository.name.to_string(),
                ids: RepositoryIds::default(),
                job: job.clone(),
                synthesized: false,
            };
            let known = Facts {
                live_job: Fact::Known(LiveJob::from(&job)),
                ..Facts::default()
            };
            (Source::Now, decide(ctx, repository, &event, known).await?)
        }
    };
    Ok(KnownJob {
        id: job.id,
        run_id: job.run_id,
        name: job.name,
        status: job.status,
        source,
        decision,
    })
}

async fn decide(ctx: &Context, repository: &Repository, event: &JobEvent, known: Facts) -> Result<Decision, Failure> {
    let delivery = DeliveryId::parse(DELIVERY).ok_or_else(|| Failure::Permanent(format!("{DELIVERY} is no id")))?;
    let request = Request {
        delivery: &delivery,
        received_at: ctx.clock.now(),
        // An absence at GitHub is believed, as after the last attempt of a worker.
        attempts: MIN_GONE_ATTEMPTS,
        stage: Stage::Delivery,
    };
    preview_event(ctx, &request, repository, event, known).await
}
