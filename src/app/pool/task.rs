//! One thing to do for the pool.

use crate::app::records::{Holder, RunnerRecord, Want};
use crate::domain::ids::JobId;
use crate::domain::runner_task::RunnerTask;
use crate::domain::slot::SlotId;

/// What boots are remembered under.
pub(super) const BOOT: &str = "boot";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Boot a slot.
    Boot,
    /// Destroy a slot that belongs to nothing, with the reason if it did not come up.
    Discard(SlotId, Option<String>),
    /// Make a runner for a job.
    Serve {
        /// The job.
        job: JobId,
        /// The slot it gets.
        slot: SlotId,
        /// The job's repository.
        repository: String,
    },
    /// Let go of a job whose runner, of this name, never came to be.
    Release(JobId, Holder),
    /// Look whether a job still waits whose runner another instance does not bring up.
    TakeOver(Box<Want>, Holder),
    /// Do something for a runner.
    Runner(RunnerTask, Box<RunnerRecord>),
    /// Look for runners at GitHub that belong to nothing.
    Sweep,
}

/// The effect of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The task did its work.
    Done,
    /// There was nothing to do yet.
    None,
}

/// The key of tasks about a slot.
pub(super) fn slot_key(slot: &str) -> String {
    format!("slot {slot}")
}

/// The key of tasks about a job.
pub(super) fn job_key(job: JobId) -> String {
    format!("job {job}")
}

impl Task {
    /// What it is about; no two tasks about the same run at once.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Boot => Vec::new(),
            Self::Discard(slot, _) => vec![slot_key(&slot.0)],
            Self::Serve { job, slot, .. } => vec![job_key(*job), slot_key(&slot.0)],
            Self::Release(job, _) => vec![job_key(*job)],
            Self::TakeOver(want, _) => vec![job_key(want.event.job.id)],
            Self::Runner(_, record) => vec![format!("runner {}", record.name), slot_key(&record.slot)],
            Self::Sweep => vec!["sweep".to_owned()],
        }
    }

    /// What it is remembered under when it does not work out.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Boot => BOOT.to_owned(),
            Self::Runner(_, record) => record.name.clone(),
            other => other.keys().join(", "),
        }
    }

    /// Whether it asks somebody who may not have an answer yet, so that it is not repeated at once.
    pub(super) fn can_wait(&self) -> bool {
        match self {
            Self::Boot | Self::TakeOver(..) => true,
            Self::Runner(task, _) => matches!(task, RunnerTask::TearDown | RunnerTask::Judge(_) | RunnerTask::Ask),
            _ => false,
        }
    }

    /// Whether somebody waits for it who is killed before long.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Runner(RunnerTask::Judge(_), _))
    }

    /// The repository that a slot is taken for.
    fn repository(&self) -> Option<String> {
        match self {
            Self::Serve { repository, .. } => Some(repository.clone()),
            Self::Runner(_, record) => Some(record.repository.to_string()),
            _ => None,
        }
    }

    /// What it is about, with the repository behind it.
    pub(super) fn claims(&self) -> impl Iterator<Item = (String, Option<String>)> {
        let repository = self.repository();
        self.keys().into_iter().map(move |key| (key, repository.clone()))
    }
}
