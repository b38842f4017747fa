//! How far a job has come at GitHub, and how far with us. Events arrive late, twice and in any order, so at GitHub a job
//! only ever advances.

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

/// How far jitgate has come with serving a job.
///
/// ```text
///  unwanted ──want──> wanted ──name──> serving ──begin──> served ──close──> closed
///                       ^ └──close──>     │ └──close──>
///                       └─────lose────────┘     give up ──> given up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// It gets no runner of ours.
    #[default]
    Unwanted,
    /// It was admitted and waits for an environment.
    Wanted,
    /// A runner is being made for it, or waits for it.
    Serving,
    /// It was let through the gate of a runner.
    Served,
    /// It is over, or not entitled to a runner any more.
    Closed,
    /// It used up its attempts.
    GivenUp,
}

/// What happens to a job, as far as serving it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceEvent {
    /// It was admitted.
    Want,
    /// A runner was named for it, or handed to it.
    Name,
    /// Its runner is gone, and it did not begin.
    Lose,
    /// It was let through the gate of a runner.
    Begin,
    /// It is over, or was refused.
    Close,
    /// No attempt is left.
    GiveUp,
}

impl ServiceEvent {
    /// Every event there is.
    pub const ALL: [Self; 6] = [
        Self::Want,
        Self::Name,
        Self::Lose,
        Self::Begin,
        Self::Close,
        Self::GiveUp,
    ];
}

impl Service {
    /// Every state there is.
    pub const ALL: [Self; 6] = [
        Self::Unwanted,
        Self::Wanted,
        Self::Serving,
        Self::Served,
        Self::Closed,
        Self::GivenUp,
    ];

    /// The transition table; none where the event changes nothing.
    #[must_use]
    pub fn after(self, event: ServiceEvent) -> Option<Self> {
        use ServiceEvent::{Begin, Close, GiveUp, Lose, Name, Want};
        match (self, event) {
            // A refusal can be overtaken by events, and an operator can have a job tried again.
            (Self::Unwanted | Self::Closed | Self::GivenUp, Want) | (Self::Serving, Lose) => Some(Self::Wanted),
            // A trusted job can take the runner of another one without having been wanted itself.
            (Self::Unwanted | Self::Wanted | Self::Closed | Self::GivenUp, Name) => Some(Self::Serving),
            (Self::Unwanted | Self::Wanted | Self::Serving | Self::Closed | Self::GivenUp, Begin) => Some(Self::Served),
            (Self::Unwanted | Self::Wanted | Self::Serving | Self::Served | Self::GivenUp, Close) => Some(Self::Closed),
            (Self::Wanted | Self::Serving, GiveUp) => Some(Self::GivenUp),
            (Self::Unwanted, Lose | GiveUp)
            | (Self::Wanted, Want | Lose)
            | (Self::Serving, Want | Name)
            | (Self::Served, Want | Name | Lose | Begin | GiveUp)
            | (Self::Closed | Self::GivenUp, Lose | GiveUp)
            | (Self::Closed, Close) => None,
        }
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

    #[test]
    fn a_served_job_never_gets_a_second_runner() {
        for event in ServiceEvent::ALL {
            let next = Service::Served.after(event);
            assert!(next.is_none_or(|next| next == Service::Closed), "{event:?}");
        }
        // One that has a runner is not named another before it has lost the first.
        assert_eq!(Service::Serving.after(ServiceEvent::Name), None);
        assert_eq!(Service::Serving.after(ServiceEvent::Want), None);
    }

    #[test]
    fn every_state_of_service_can_be_left_and_every_event_matters_somewhere() {
        for state in Service::ALL {
            assert!(
                ServiceEvent::ALL.iter().any(|event| state.after(*event).is_some()),
                "{state:?}"
            );
            let closes = state.after(ServiceEvent::Close);
            assert!(state == Service::Closed || closes == Some(Service::Closed), "{state:?}");
        }
        for event in ServiceEvent::ALL {
            assert!(
                Service::ALL.iter().any(|state| state.after(event).is_some()),
                "{event:?}"
            );
        }
    }
}
