//! The progress of a job at GitHub and the state of its service here. Events arrive late, twice and in any order, so
//! the progress of a job only advances.

use super::event::{Action, JobEvent, JobStatus};
use serde::{Deserialize, Serialize};

/// The progress of a job at GitHub, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// No event about the job arrived.
    #[default]
    Unseen,
    /// GitHub holds the job for an approval or a concurrency group.
    Waiting,
    /// GitHub can give the job to a runner.
    Queued,
    /// GitHub gave the job to a runner.
    InProgress,
    /// The job ended.
    Completed,
}

impl Progress {
    /// Returns the progress that a single event shows. A `queued` event with status `waiting` shows a waiting job.
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

    /// Returns true if the job can no longer be given to a runner.
    #[must_use]
    pub fn is_past_queued(self) -> bool {
        self > Self::Queued
    }
}

/// The state of jitgate's service for a job.
///
/// ```text
///  unwanted ──want──> wanted ──name──> serving ──begin──> served ──close──> closed
///                       ^ └──close──>     │ └──close──>
///                       └─────lose────────┘     give up ──> given up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The job gets no runner.
    #[default]
    Unwanted,
    /// The job was admitted and waits for a slot.
    Wanted,
    /// A runner is being created for the job, or waits for it.
    Serving,
    /// The job passed the job gate of a runner.
    Served,
    /// The job ended, or is no longer entitled to a runner.
    Closed,
    /// The job used all its attempts.
    GivenUp,
}

/// An event in jitgate's service for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceEvent {
    /// The job was admitted.
    Want,
    /// A runner was assigned to the job.
    Name,
    /// The job lost its runner before it started.
    Lose,
    /// The job passed the job gate of a runner.
    Begin,
    /// The job ended or was refused.
    Close,
    /// The job used all its attempts.
    GiveUp,
}

impl ServiceEvent {
    /// All variants.
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
    /// All variants.
    pub const ALL: [Self; 6] = [
        Self::Unwanted,
        Self::Wanted,
        Self::Serving,
        Self::Served,
        Self::Closed,
        Self::GivenUp,
    ];

    /// Returns the next state by the transition table, or `None` if the event changes nothing.
    #[must_use]
    pub fn after(self, event: ServiceEvent) -> Option<Self> {
        use ServiceEvent::{Begin, Close, GiveUp, Lose, Name, Want};
        match (self, event) {
            // Later events can overtake a refusal, and an operator can retry a job.
            (Self::Unwanted | Self::Closed | Self::GivenUp, Want) | (Self::Serving, Lose) => Some(Self::Wanted),
            // A trusted job can take the runner of another job without having waited for one.
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
