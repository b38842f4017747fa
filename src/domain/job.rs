//! How far a job has come at GitHub. Events arrive late, twice and in any order, so a job only ever advances.

use super::event::{Action, JobEvent, JobStatus};
use serde::{Deserialize, Serialize};

/// How far a job has come, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nothing was heard of it.
    #[default]
    Unseen,
    /// Held back by GitHub: an approval, a concurrency group.
    Waiting,
    /// Can be given to a runner.
    Queued,
    /// Was given to a runner.
    InProgress,
    /// Over.
    Completed,
}

impl Progress {
    /// What an event says, taken by itself. A `queued` event with status `waiting` is a waiting one.
    #[must_use]
    pub fn shown_by(event: &JobEvent) -> Self {
        match event.action {
            Action::Queued if event.job.status == JobStatus::Waiting => Self::Waiting,
            Action::Queued => Self::Queued,
            Action::Waiting => Self::Waiting,
            Action::InProgress => Self::InProgress,
            Action::Completed => Self::Completed,
        }
    }

    /// Whether the job is beyond being given to a runner.
    #[must_use]
    pub fn is_past_queued(self) -> bool {
        self > Self::Queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_states_are_greater() {
        let order = [
            Progress::Unseen,
            Progress::Waiting,
            Progress::Queued,
            Progress::InProgress,
            Progress::Completed,
        ];
        assert!(order.is_sorted());
        assert_eq!(order.map(Progress::is_past_queued), [false, false, false, true, true]);
    }
}
