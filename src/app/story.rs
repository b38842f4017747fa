//! What became of a job: every delivery about it that is remembered, what was decided, and what is still to be done.
//!
//! `jitgate why --json` and `/api/v1/jobs/ID` give this very value. It is found by ids alone, so it costs the same
//! however much the store remembers.

use super::records::{self, JobRecord, Moment, RunnerRecord};
use super::runners;
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::JobId;
use crate::domain::job::{Progress, Service};
use crate::domain::runner::RunnerState;
use crate::ports::queue::{Delivery, Filter};
use crate::ports::{Failure, Ledger, Queue};
use serde::Serialize;

/// Undecided deliveries of one job that are told of.
const UNDECIDED_TOLD: usize = 16;

/// A job's newest decision record (contract 3) with everything around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The newest decision; none before the first.
    #[serde(flatten)]
    pub newest: Option<Decision>,
    /// How far the job has come at GitHub.
    pub progress: Progress,
    /// How far we have come with serving it.
    pub service: Service,
    /// Its runner.
    pub runner: Option<RunnerRecord>,
    /// Everything that happened to it and its runners, oldest first.
    pub timeline: Vec<Moment>,
    /// What was decided, oldest first.
    pub history: Vec<Chapter>,
    /// Deliveries that nothing was decided on yet, oldest first.
    pub undecided: Vec<Delivery>,
}

/// One delivery and what was decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chapter {
    /// The decision record.
    #[serde(flatten)]
    pub decision: Decision,
    /// Actions of it that are not done yet.
    pub pending: Vec<Action>,
    /// The delivery as the queue knows it; none when it is forgotten.
    pub queue: Option<Delivery>,
}

/// Tells what became of a job; none when nothing is known of it.
///
/// # Errors
/// The store's failure.
pub async fn tell(queue: &dyn Queue, ledger: &dyn Ledger, job: JobId) -> Result<Option<Story>, Failure> {
    let record: Option<JobRecord> = records::load(ledger, &job.to_string()).await?;
    let mut undecided = queue.deliveries(&Filter::unfinished_of(job), UNDECIDED_TOLD).await?;
    undecided.reverse();
    let Some(record) = record else {
        let story = Story {
            newest: None,
            progress: Progress::Unseen,
            service: Service::Unwanted,
            runner: None,
            timeline: Vec::new(),
            history: Vec::new(),
            undecided,
        };
        return Ok(Some(story).filter(|story| !story.undecided.is_empty()));
    };
    undecided.retain(|delivery| record.entry(&delivery.id).is_none());
    let (runner, timeline) = timeline(ledger, &record).await?;
    let mut history = Vec::new();
    for entry in record.decisions {
        history.push(Chapter {
            queue: queue.delivery(&entry.decision.delivery).await?,
            decision: entry.decision,
            pending: entry.pending,
        });
    }
    Ok(Some(Story {
        newest: history.last().map(|chapter| chapter.decision.clone()),
        progress: record.progress,
        service: record.service,
        runner,
        timeline,
        history,
        undecided,
    }))
}

/// The job's runner, and all that happened to the job and each runner it had.
async fn timeline(ledger: &dyn Ledger, job: &JobRecord) -> Result<(Option<RunnerRecord>, Vec<Moment>), Failure> {
    let mut own = None;
    let mut moments = job.moments.clone();
    for name in &job.runners {
        let Some(runner) = runners::load(ledger, name).await? else {
            continue;
        };
        for entered in &runner.history {
            let mut what = format!("runner {name} is {}", entered.state.as_str());
            if entered.state == RunnerState::Ended
                && let Some(outcome) = runner.outcome
            {
                what.push_str(&format!(": {}", outcome.as_str()));
                if let Some(detail) = &runner.detail {
                    what.push_str(&format!(" ({detail})"));
                }
            }
            moments.push(Moment { at: entered.at, what });
        }
        if job.runner.as_ref() == Some(name) {
            own = Some(runner);
        }
    }
    moments.sort_by_key(|moment| moment.at);
    Ok((own, moments))
}
