//! The deadlines of the owners of an alert, and the stored form of an escalation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The deadline that was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// No person has acknowledged the alert.
    Acknowledgement,
    /// There is no safe routing state.
    Restoration,
}

impl Overdue {
    /// Both deadlines.
    pub const ALL: [Self; 2] = [Self::Acknowledgement, Self::Restoration];

    /// Returns the name used in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgement => "acknowledgement",
            Self::Restoration => "restoration",
        }
    }

    /// Returns the state of the alert in words, to be followed by a time.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Acknowledgement => "unacknowledged since",
            Self::Restoration => "without a safe routing state since",
        }
    }
}

/// One escalation of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    pub at: DateTime<Utc>,
    /// The owner; `None` if no second owner is configured.
    pub to: Option<String>,
    pub overdue: Overdue,
    /// The start of the time that was exceeded.
    pub since: DateTime<Utc>,
}
