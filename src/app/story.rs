//! What became of a job: every delivery about it that is remembered, what was decided, and what is still to be done.
//!
//! `jitgate why --json` and `/api/v1/jobs/ID` give this very value. It is found by ids alone, so it costs the same
//! however much the store remembers.

use super::records::{self, JobRecord, JobRunner};
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::JobId;
use crate::domain::job::Progress;
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
    /// Its runner.
    pub runner: Option<JobRunner>,
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
            runner: None,
            history: Vec::new(),
            undecided,
        };
        return Ok(Some(story).filter(|story| !story.undecided.is_empty()));
    };
    undecided.retain(|delivery| record.entry(&delivery.id).is_none());
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
        runner: record.runner,
        history,
        undecided,
    }))
}
