//! A synthesized event: a job as GitHub shows it, in the form of a delivery. It passes through the same queue as GitHub's
//! deliveries, with a mark that the decision record keeps.

use crate::app::context::Context;
use crate::domain::event::{Action, Job, JobStatus, Step};
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::domain::pin::RepositoryIds;
use crate::ports::Failure;
use crate::ports::queue::{Accepted, Arrival, Priority, Work};
use serde_json::{Value, json};

/// Queues the missing event about a job. Returns false if the queue knows it already.
pub(super) async fn queue_event(
    ctx: &Context,
    repository: &RepositoryName,
    ids: &RepositoryIds,
    job: &Job,
    action: Action,
) -> Result<bool, Failure> {
    let arrival = Arrival {
        id: DeliveryId::synthesized(job.id, job.run_attempt, action.as_str()),
        event: "workflow_job".to_owned(),
        received_at: ctx.clock.now(),
        work: Work::Queue {
            action,
            repository: repository.to_string(),
            job: job.id,
            priority: Priority::Reaching,
            body: payload(repository, ids, job, action).to_string().into_bytes(),
        },
    };
    match ctx.queue.accept(arrival).await? {
        Accepted::Taken => Ok(true),
        Accepted::AlreadySeen => Ok(false),
        Accepted::Full => Err(Failure::Transient("the queue is full".to_owned())),
    }
}

fn payload(repository: &RepositoryName, ids: &RepositoryIds, job: &Job, action: Action) -> Value {
    let status = match job.status {
        JobStatus::Queued => "queued",
        JobStatus::Waiting => "waiting",
        JobStatus::InProgress => "in_progress",
        JobStatus::Completed => "completed",
        JobStatus::Other => "other",
    };
    json!({
        "action": action.as_str(),
        "workflow_job": {
            "id": job.id,
            "run_id": job.run_id,
            "run_attempt": job.run_attempt,
            "name": job.name,
            "head_sha": job.head_sha,
            "labels": job.labels,
            "status": status,
            "conclusion": job.conclusion,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "completed_at": job.completed_at,
            "runner_id": job.runner.as_ref().map(|runner| runner.id),
            "runner_name": job.runner.as_ref().map(|runner| &runner.name),
            "steps": job.steps.iter().map(step).collect::<Vec<_>>(),
        },
        "repository": {
            "id": ids.id,
            "full_name": repository,
            "owner": {"id": ids.owner_id},
        },
        "jitgate": {"synthesized": true},
    })
}

fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "status": step.status,
        "conclusion": step.conclusion,
        "started_at": step.started_at,
    })
}
