//! A slot: one place on a runner host where one runner runs, in a sandbox or a virtual machine. A host boots it without a
//! runner, claims it for one runner, and destroys it.
//!
//! ```text
//!  boot ──> booting ──> ready ──claim──> claimed ──the hook calls──> at gate ──open_gate──> open
//!               └─────────┴───────────────┴─────────────────────────────┴────────────────────┴──> ended
//! ```
//!
//! The serialized form of a state is part of the status files of slots.

use super::runner::Outcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The id of a slot. It is unique among all hosts, and survives a restart of jitgate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub String);

/// The size of a slot, or the size that a job requests: the label of a configured size, or none for the default size.
pub type SlotSize = Option<String>;

/// A slot as its host lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub id: SlotId,
    pub size: SlotSize,
    /// The name of the runner that it was claimed for.
    pub runner: Option<String>,
    pub state: SlotState,
    /// The time at which it entered this state.
    pub since: DateTime<Utc>,
    /// The time at which its boot began, if the host knows it.
    pub made: Option<DateTime<Utc>>,
    /// The time at which it was ready, if it was and the host knows it.
    pub booted: Option<DateTime<Utc>>,
}

/// The disk of a failed slot, which is kept for inspection for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDisk {
    /// The id of the slot.
    pub slot: String,
    /// The name of the runner that the slot was claimed for.
    pub runner: Option<String>,
    /// The folder with the disk.
    pub path: String,
    /// The space that it takes on the host's file system.
    pub bytes: u64,
    /// The time of its removal.
    pub until: DateTime<Utc>,
}

/// The part of a destroyed slot that is still on the disks of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remains {
    /// Nothing is left.
    Nothing,
    /// The slot still exists here.
    Slot(String),
    /// Only its disk is left, on purpose.
    Kept(KeptDisk),
}

/// The state of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// The slot is not up yet.
    Booting,
    /// The slot can be claimed. GitHub does not know of it.
    Ready,
    /// The runner program has started, and no job has reached the job gate.
    Claimed,
    /// A job waits at the job gate.
    AtGate(Hello),
    /// The job was let through.
    Open,
    /// Nothing runs in the slot any more; it can be destroyed.
    Ended(Ending),
}

/// The words of a job at its gate, from the variables that actions/runner sets. A hostile guest can send anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hello {
    /// `GITHUB_REPOSITORY`.
    pub repository: Option<String>,
    /// `GITHUB_RUN_ID`.
    pub run_id: Option<u64>,
    /// `GITHUB_RUN_ATTEMPT`.
    pub run_attempt: Option<u32>,
}

/// The reason why nothing runs in a slot any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The slot did not come up, for this reason.
    BootFailed(String),
    /// The runner program ended by itself.
    Exited,
    /// The job gate got no answer within `gate_deadline_s`, and the host killed the slot.
    GateUnanswered,
    /// The guest broke the protocol of the job gate, and the host killed the slot.
    GateAbused,
    /// The job took longer than `job_deadline_s`, and the host killed the slot.
    TooLong,
    /// The job used more disk than it may, and the host killed the slot.
    DiskFull,
    /// The slot was killed from outside, or with the machine.
    Lost,
    /// The slot was never used, and a newer one replaces it.
    Outdated,
}

impl Ending {
    /// Returns the outcome of a runner in a slot that ended this way.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::BootFailed(_) => Outcome::BootFailed,
            Self::Exited => Outcome::Completed,
            Self::GateUnanswered => Outcome::GateUnanswered,
            Self::GateAbused => Outcome::GateAbused,
            Self::TooLong => Outcome::TooLong,
            Self::DiskFull => Outcome::DiskFull,
            Self::Lost | Self::Outdated => Outcome::Died,
        }
    }
}

impl SlotState {
    /// Returns the word that records and commands contain.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::AtGate(_) => "at-gate",
            Self::Open => "open",
            Self::Ended(_) => "ended",
        }
    }

    /// Returns true if a runner program has started in the slot, even if it has ended since.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !matches!(self, Self::Booting | Self::Ready)
    }

    /// Returns the reason why a slot that is given up did not come up, or none if it did.
    #[must_use]
    pub fn boot_failure(&self) -> Option<String> {
        match self {
            Self::Booting => Some("it took too long".to_owned()),
            Self::Ended(Ending::BootFailed(why)) => Some(why.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_files_of_earlier_versions_are_read() {
        let hello = Hello {
            repository: Some("o/r".to_owned()),
            run_id: Some(42),
            run_attempt: None,
        };
        for (text, state) in [
            (r#""ready""#, SlotState::Ready),
            (
                r#"{"at_gate":{"repository":"o/r","run_id":42,"run_attempt":null}}"#,
                SlotState::AtGate(hello),
            ),
            (
                r#"{"ended":"gate_unanswered"}"#,
                SlotState::Ended(Ending::GateUnanswered),
            ),
            (
                r#"{"ended":{"boot_failed":"no sandbox"}}"#,
                SlotState::Ended(Ending::BootFailed("no sandbox".to_owned())),
            ),
        ] {
            assert_eq!(serde_json::from_str::<SlotState>(text).expect(text), state);
            assert_eq!(serde_json::to_string(&state).expect("text"), text);
        }
    }
}
