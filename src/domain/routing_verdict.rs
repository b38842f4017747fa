//! Words for the routing of a job: the state of the variable, and the verdict.

use serde::{Deserialize, Serialize};

/// Whether the repository's variable sends trusted jobs to self-hosted runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingState {
    /// The variable is `true`.
    On,
    /// It is absent or anything else.
    Off,
    /// It could not be read, or changed after the run was created.
    Unknown,
}

impl RoutingState {
    /// The word used in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// What the routing of one job amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingVerdict {
    /// Where it belongs.
    Correct,
    /// Trusted, routing is on, and yet not on self-hosted. A mismatch.
    NotRouted,
    /// An outsider wrote our labels, and was contained.
    Attempt,
    /// The routing rule itself is broken, or an untrusted step ran. A mismatch.
    Misroute,
    /// Trusted and on self-hosted while routing is off.
    Drain,
    /// Labels nobody meant: a mistake in a workflow.
    Misconfigured,
    /// Not enough is known.
    Unjudged,
}

impl RoutingVerdict {
    /// The word used in records, metrics and alert labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::NotRouted => "not-routed",
            Self::Attempt => "attempt",
            Self::Misroute => "misroute",
            Self::Drain => "drain",
            Self::Misconfigured => "misconfigured",
            Self::Unjudged => "unjudged",
        }
    }
}
