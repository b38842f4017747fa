//! How a runner lives, from its name to its end; and its name, derived from what it is for, so that whoever finds one
//! knows whose it is.
//!
//! ```text
//!  minting ──made──> minted ──started──> booting ──connected──> online ──knocked──> gated ──admitted──> running
//!     └────────────────┴───────────────────┴───────────────────────┴──────────────────┴───────────────────┴──finished──>
//!  ended ──torn down──> destroyed
//! ```
//!
//! Events come late, twice and in any order, so a runner only ever advances. [`Outcome`] says why it ended.

use super::ids::JobId;
use serde::{Deserialize, Serialize};

/// `<prefix>-<instance>-<job id>-<attempt>`.
#[must_use]
pub fn runner_name(prefix: &str, instance: &str, job: JobId, attempt: u32) -> String {
    format!("{}{job}-{attempt}", runners_of(prefix, instance))
}

/// What the names of all runners of an instance begin with.
#[must_use]
pub fn runners_of(prefix: &str, instance: &str) -> String {
    format!("{prefix}-{instance}-")
}

/// Whether an instance with this prefix may have made a runner of that name, be it this one or another.
#[must_use]
pub fn is_of_prefix(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let parts = rest.and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(instance, of)| !instance.is_empty() && is_job_and_attempt(of))
}

/// Whether that is how the names of runners made for jobs end: with job and attempt.
#[must_use]
pub fn is_job_and_attempt(rest: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.split_once('-')
        .is_some_and(|(job, attempt)| is_number(job) && is_number(attempt))
}

/// Where a runner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Its name is recorded; the request may or may not have reached GitHub.
    Minting,
    /// GitHub has its record; the host does not have its configuration yet.
    Minted,
    /// The host has its configuration and starts the runner program.
    Booting,
    /// It is connected to GitHub: idle, or just given a job.
    Online,
    /// A job waits at its gate.
    Gated,
    /// The job was let through.
    Running,
    /// It is over; what is left of it has to go.
    Ended,
    /// Environment and GitHub's record are gone.
    Destroyed,
}

/// What happens to a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunnerEvent {
    /// GitHub made its record.
    Made,
    /// The host took its configuration.
    Started,
    /// GitHub shows it connected, or gave it a job.
    Connected,
    /// The hook of a job called.
    Knocked,
    /// The job at its gate may begin.
    Admitted,
    /// It is over, for whatever reason.
    Finished,
    /// Environment and record were removed.
    TornDown,
}

impl RunnerEvent {
    /// Every event there is.
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
    /// Every state there is, in order.
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

    /// The transition table, a row a state; none where the event changes nothing.
    #[must_use]
    pub fn after(self, event: RunnerEvent) -> Option<Self> {
        use RunnerEvent::{Admitted, Connected, Finished, Knocked, Made, Started, TornDown};
        match (self, event) {
            (Self::Minting, Made) => Some(Self::Minted),
            (Self::Minted, Started) => Some(Self::Booting),
            // GitHub's news can be faster than our own note.
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

    /// Whether its environment may still run something.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self < Self::Ended
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word used in records and metrics.
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
        /// Why a runner ended. A closed set: it becomes a metric label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Outcome {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Outcome {
            /// Every outcome there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in records and metrics.
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
    /// GitHub would not make it.
    Refused = "refused";
    /// GitHub has a runner of that name: most likely from a request whose answer was lost.
    NameTaken = "name-taken";
    /// The request, its answer or the configuration got lost on the way.
    Lost = "lost";
    /// The host could not start it.
    BootFailed = "boot-failed";
    /// No job took it in time.
    NobodyCame = "nobody-came";
    /// It stopped before its job was let through.
    Died = "died";
    /// A job began on it and its hook was not heard of.
    HookSilent = "hook-silent";
    /// The job at its gate had no right to it.
    GateRefused = "gate-refused";
    /// Nobody could say in time which job was at its gate.
    GateUnanswered = "gate-unanswered";
    /// What was said at its gate made no sense.
    GateAbused = "gate-abused";
    /// GitHub gave it to a job that has no right to it.
    Stolen = "stolen";
    /// Its job took longer than allowed.
    TooLong = "too-long";
    /// Its job filled more disk than allowed.
    DiskFull = "disk-full";
    /// Its job was cancelled, or runs elsewhere.
    Cancelled = "cancelled";
}

impl Outcome {
    /// Whether the job it was made for had its fair chance with it. Thefts do not use up the victim's attempts, and neither
    /// does a GitHub that makes no runners for a while.
    #[must_use]
    pub fn uses_an_attempt(self) -> bool {
        !matches!(self, Self::Stolen | Self::GateRefused) && !self.is_no_runner_from_github()
    }

    /// Whether GitHub made no runner, whatever it said. It can pass: a fresh token is unknown to some of GitHub's servers
    /// for seconds, and a missing permission is put right by a person while the job waits.
    #[must_use]
    pub fn is_no_runner_from_github(self) -> bool {
        matches!(self, Self::Refused | Self::NameTaken | Self::Lost)
    }

    /// Whether it says that runners do not come up here, which a person has to look at.
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
    fn a_runner_only_advances_and_every_event_matters_somewhere() {
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
    fn whatever_happened_a_runner_can_end_and_be_torn_down_and_nothing_else_destroys_it() {
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
    fn nothing_runs_that_was_not_at_the_gate() {
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
    fn every_state_is_reached_from_its_name() {
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
