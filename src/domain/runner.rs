//! The life cycle of a runner, and its name, which shows the instance and the job that it was made for.
//!
//! ```text
//!  minting ──made──> minted ──started──> booting ──connected──> online ──knocked──> gated ──admitted──> running
//!     └────────────────┴───────────────────┴───────────────────────┴──────────────────┴───────────────────┴──finished──>
//!  ended ──torn down──> destroyed
//! ```
//!
//! Events arrive late, twice and in any order, so a runner only ever advances. [`Outcome`] is the reason why it ended.

use super::ids::JobId;
use serde::{Deserialize, Serialize};

/// Returns the name `<prefix>-<instance>-<job id>-<attempt>`.
#[must_use]
pub fn runner_name(prefix: &str, instance: &str, job: JobId, attempt: u32) -> String {
    format!("{}{job}-{attempt}", runners_of(prefix, instance))
}

/// Returns the prefix of the names of all runners of an instance.
#[must_use]
pub fn runners_of(prefix: &str, instance: &str) -> String {
    format!("{prefix}-{instance}-")
}

/// Returns true if an instance with this prefix can have made a runner of that name, this instance or another.
#[must_use]
pub fn is_of_prefix(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let parts = rest.and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(instance, of)| !instance.is_empty() && is_job_and_attempt(of))
}

/// Returns true if `rest` has the form of a job and an attempt, with which the name of a runner ends.
#[must_use]
pub fn is_job_and_attempt(rest: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.split_once('-')
        .is_some_and(|(job, attempt)| is_number(job) && is_number(attempt))
}

/// The state of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Its name is stored; the request may or may not have reached GitHub.
    Minting,
    /// GitHub has its record; the host does not have its JIT configuration yet.
    Minted,
    /// The host has its JIT configuration and starts the runner program.
    Booting,
    /// It is connected to GitHub: idle, or with a job that has not reached the job gate.
    Online,
    /// A job waits at its job gate.
    Gated,
    /// The job was let through.
    Running,
    /// It is over; its slot and GitHub's record must be removed.
    Ended,
    /// Its slot and GitHub's record are removed.
    Destroyed,
}

/// An event in the life of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunnerEvent {
    /// GitHub created its record.
    Made,
    /// The host accepted its JIT configuration.
    Started,
    /// GitHub shows it as connected, or gave it a job.
    Connected,
    /// A job called the job gate.
    Knocked,
    /// The job at its gate may begin.
    Admitted,
    /// It is over, for any reason.
    Finished,
    /// Its slot and GitHub's record were removed.
    TornDown,
}

impl RunnerEvent {
    pub const ALL: [Self; 7] = [
        Self::Made,
        Self::Started,
        Self::Connected,
        Self::Knocked,
        Self::Admitted,
        Self::Finished,
        Self::TornDown,
    ];
}

impl RunnerState {
    /// Every state, in order.
    pub const ALL: [Self; 8] = [
        Self::Minting,
        Self::Minted,
        Self::Booting,
        Self::Online,
        Self::Gated,
        Self::Running,
        Self::Ended,
        Self::Destroyed,
    ];

    /// Returns the next state, or none if the event changes nothing. One row for each state.
    #[must_use]
    pub fn after(self, event: RunnerEvent) -> Option<Self> {
        use RunnerEvent::{Admitted, Connected, Finished, Knocked, Made, Started, TornDown};
        match (self, event) {
            (Self::Minting, Made) => Some(Self::Minted),
            (Self::Minted, Started) => Some(Self::Booting),
            // GitHub's event can arrive before our own record is updated.
            (Self::Minted | Self::Booting, Connected) => Some(Self::Online),
            (Self::Minted | Self::Booting | Self::Online, Knocked) => Some(Self::Gated),
            (Self::Gated, Admitted) => Some(Self::Running),
            (Self::Minting | Self::Minted | Self::Booting | Self::Online | Self::Gated | Self::Running, Finished) => {
                Some(Self::Ended)
            }
            (Self::Ended, TornDown) => Some(Self::Destroyed),
            (Self::Minting, Started | Connected | Knocked | Admitted | TornDown)
            | (Self::Minted, Made | Admitted | TornDown)
            | (Self::Booting, Made | Started | Admitted | TornDown)
            | (Self::Online, Made | Started | Connected | Admitted | TornDown)
            | (Self::Gated, Made | Started | Connected | Knocked | TornDown)
            | (Self::Running, Made | Started | Connected | Knocked | Admitted | TornDown)
            | (Self::Ended, Made | Started | Connected | Knocked | Admitted | Finished)
            | (Self::Destroyed, _) => None,
        }
    }

    /// Returns true if its slot can still run something.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self < Self::Ended
    }

    /// Returns the word that records and metrics contain.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minting => "minting",
            Self::Minted => "minted",
            Self::Booting => "booting",
            Self::Online => "online",
            Self::Gated => "gated",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Destroyed => "destroyed",
        }
    }
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The reason why a runner ended. A closed set, because it is a metric label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Outcome {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Outcome {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the word that records and metrics contain.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

outcomes! {
    /// A job was let through and is over.
    Completed = "completed";
    /// GitHub refused to make it.
    Refused = "refused";
    /// GitHub has a runner of that name, most likely from a request whose answer was lost.
    NameTaken = "name-taken";
    /// The request, its answer or the JIT configuration was lost.
    Lost = "lost";
    /// The host could not start it.
    BootFailed = "boot-failed";
    /// No job took it in time.
    NobodyCame = "nobody-came";
    /// It stopped before its job was let through.
    Died = "died";
    /// A job began on it and did not call the job gate.
    HookSilent = "hook-silent";
    /// The job at its gate was refused.
    GateRefused = "gate-refused";
    /// The job at its gate could not be identified in time.
    GateUnanswered = "gate-unanswered";
    /// The guest broke the protocol of the job gate.
    GateAbused = "gate-abused";
    /// GitHub gave it to a job that may not have it.
    Stolen = "stolen";
    /// Its job took longer than it may.
    TooLong = "too-long";
    /// Its job used more disk than it may.
    DiskFull = "disk-full";
    /// An operator removed its slot although it was busy.
    Removed = "removed";
    /// Its job was cancelled, or runs elsewhere.
    Cancelled = "cancelled";
}

impl Outcome {
    /// Returns true if this outcome counts as an attempt of the job that the runner was made for. A theft does not, and neither
    /// does a refusal by GitHub or the operator's removal.
    #[must_use]
    pub fn uses_an_attempt(self) -> bool {
        !matches!(self, Self::Stolen | Self::GateRefused | Self::Removed) && !self.is_no_runner_from_github()
    }

    /// Returns true if GitHub made no runner, for any reason. The reason can be temporary: some of GitHub's servers do not know
    /// a new token for seconds, and an operator can add a missing permission while the job waits.
    #[must_use]
    pub fn is_no_runner_from_github(self) -> bool {
        matches!(self, Self::Refused | Self::NameTaken | Self::Lost)
    }

    /// Returns true if runners do not come up here, which an operator has to fix.
    #[must_use]
    pub fn is_boot_failure(self) -> bool {
        matches!(
            self,
            Self::BootFailed | Self::NobodyCame | Self::Died | Self::HookSilent | Self::GateUnanswered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_only_advances_and_every_event_changes_some_state() {
        for state in RunnerState::ALL {
            for event in RunnerEvent::ALL {
                assert!(
                    state.after(event).is_none_or(|next| next > state),
                    "{state:?} {event:?}"
                );
            }
        }
        for event in RunnerEvent::ALL {
            assert!(
                RunnerState::ALL.iter().any(|state| state.after(event).is_some()),
                "{event:?}"
            );
        }
    }

    #[test]
    fn every_living_runner_can_end_and_only_an_ended_runner_is_destroyed() {
        for state in RunnerState::ALL.into_iter().filter(|state| state.is_alive()) {
            assert_eq!(
                state.after(RunnerEvent::Finished),
                Some(RunnerState::Ended),
                "{state:?}"
            );
            assert_eq!(state.after(RunnerEvent::TornDown), None, "{state:?} is alive");
        }
        assert_eq!(
            RunnerState::Ended.after(RunnerEvent::TornDown),
            Some(RunnerState::Destroyed)
        );
        assert!(
            RunnerEvent::ALL
                .iter()
                .all(|event| RunnerState::Destroyed.after(*event).is_none())
        );
    }

    #[test]
    fn only_a_gated_runner_starts_to_run() {
        let before: Vec<RunnerState> = RunnerState::ALL
            .into_iter()
            .filter(|state| {
                RunnerEvent::ALL
                    .iter()
                    .any(|event| state.after(*event) == Some(RunnerState::Running))
            })
            .collect();
        assert_eq!(before, [RunnerState::Gated]);
    }

    #[test]
    fn every_state_is_reachable() {
        let mut reached = vec![RunnerState::Minting];
        let mut next = 0;
        while let Some(state) = reached.get(next).copied() {
            next += 1;
            for after in RunnerEvent::ALL.iter().filter_map(|event| state.after(*event)) {
                if !reached.contains(&after) {
                    reached.push(after);
                }
            }
        }
        reached.sort_unstable();
        assert_eq!(reached, RunnerState::ALL);
    }
}
