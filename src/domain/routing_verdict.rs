//! The state of the routing variable and the routing verdict.

use serde::{Deserialize, Serialize};

/// The state of the repository variable that routes trusted jobs to self-hosted runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingState {
    /// The variable is `true`.
    On,
    /// The variable is absent or has another value.
    Off,
    /// The variable cannot be read, or changed after the creation of the run.
    Unknown,
}

impl RoutingState {
    /// Returns the name used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// The verdict on the routing of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingVerdict {
    /// The job is on the right kind of runner.
    Correct,
    /// A mismatch: the job is trusted and routing is on, but the job is not on a self-hosted runner.
    NotRouted,
    /// An outsider used our labels, and the job was contained.
    Attempt,
    /// A mismatch: the routing rule is broken, or an untrusted step ran.
    Misroute,
    /// The job is trusted and on a self-hosted runner although routing is off.
    Drain,
    /// The labels are a mistake in the workflow.
    Misconfigured,
    /// The known facts are not sufficient.
    Unjudged,
}

impl RoutingVerdict {
    /// Returns the name used in records and metrics.
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
