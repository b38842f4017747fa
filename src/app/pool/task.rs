//! The tasks of the pool.

use crate::app::records::{Holder, RunnerRecord, WaitingRecord};
use crate::domain::ids::JobId;
use crate::domain::runner_task::RunnerTask;
use crate::domain::slot::{SlotId, SlotSize};

/// The beginning of the subject of boots.
pub(super) const BOOT: &str = "boot";

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Boot a slot of this size.
    Boot(SlotSize),
    /// Destroy a slot that belongs to nothing.
    Discard(SlotId, Option<FailedBoot>),
    /// Create a runner for a job.
    Serve {
        /// The job.
        job: JobId,
        /// The slot that the job gets.
        slot: SlotId,
        /// The job's repository.
        repository: String,
    },
    /// Free a job whose runner, with this name, was never created.
    Release(JobId, Holder),
    /// Check whether a job still waits whose runner another instance does not start.
    TakeOver(Box<WaitingRecord>, Holder),
    /// Execute the task of a runner.
    Runner(RunnerTask, Box<RunnerRecord>),
    /// Run the sweep.
    Sweep,
}

/// A slot that did not come up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedBoot {
    pub(super) size: SlotSize,
    pub(super) why: String,
}

/// The effect of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The task did its work.
    Done,
    /// There was nothing to do yet.
    None,
}

/// Returns the subject of boots of a size: one that fails delays no other.
pub(super) fn boot_key(size: &SlotSize) -> String {
    match size {
        None => BOOT.to_owned(),
        Some(size) => format!("{BOOT} of size {size}"),
    }
}

/// Returns the subject of tasks about a slot.
pub(super) fn slot_key(slot: &str) -> String {
    format!("slot {slot}")
}

/// Returns the subject of tasks about a job.
pub(super) fn job_key(job: JobId) -> String {
    format!("job {job}")
}

impl Task {
    /// Returns the subject. No two tasks with the same subject run concurrently.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Boot(_) => Vec::new(),
            Self::Discard(slot, _) => vec![slot_key(&slot.0)],
            Self::Serve { job, slot, .. } => vec![job_key(*job), slot_key(&slot.0)],
            Self::Release(job, _) => vec![job_key(*job)],
            Self::TakeOver(waiting, _) => vec![job_key(waiting.event.job.id)],
            Self::Runner(_, record) => vec![format!("runner {}", record.name), slot_key(&record.slot)],
            Self::Sweep => vec!["sweep".to_owned()],
        }
    }

    /// Returns the subject under which a failure is recorded.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Boot(size) => boot_key(size),
            Self::Runner(_, record) => record.name.clone(),
            other => other.keys().join(", "),
        }
    }

    /// Returns true if the task asks for an answer that may not exist yet, so that it is not repeated at once.
    pub(super) fn can_wait(&self) -> bool {
        match self {
            Self::Boot(_) | Self::TakeOver(..) => true,
            Self::Runner(task, _) => matches!(task, RunnerTask::TearDown | RunnerTask::Judge(_) | RunnerTask::Ask),
            _ => false,
        }
    }

    /// Returns true if a job waits for the task and is killed at a deadline.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Runner(RunnerTask::Judge(_), _))
    }

    /// Returns the repository that a slot is used for.
    fn repository(&self) -> Option<String> {
        match self {
            Self::Serve { repository, .. } => Some(repository.clone()),
            Self::Runner(_, record) => Some(record.repository.to_string()),
            _ => None,
        }
    }

    /// Returns the subject with its repository.
    pub(super) fn claims(&self) -> impl Iterator<Item = (String, Option<String>)> {
        let repository = self.repository();
        self.keys().into_iter().map(move |key| (key, repository.clone()))
    }
}
