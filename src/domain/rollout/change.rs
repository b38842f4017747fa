//! The history of a rollout: every change of the stage or of the routing, with its person and reason.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A change of the rollout of a repository, in the form of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub at: DateTime<Utc>,
    pub what: Changed,
    /// The canary stage before the change, from 0.
    pub from: usize,
    /// The canary stage after the change.
    pub to: usize,
    /// The person, `jitgate` for its own changes, or none if the variable was changed at GitHub by an unknown person.
    pub by: Option<String>,
    /// The reason in the person's words, or the evidence.
    pub why: Option<String>,
    /// True if the mode `observe` only reports the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub would: bool,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The canary went on to the next stage.
    Advance,
    /// A trigger switched routing off.
    Rollback,
    /// Routing was switched on.
    Enable,
    /// Routing was switched off without a trigger.
    Disable,
    /// A person keeps the canary in its stage.
    Hold,
    /// A person lets the canary go on.
    Resume,
}

/// The person behind a change, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub by: Option<String>,
    pub why: Option<String>,
    pub at: DateTime<Utc>,
}

/// The name of jitgate in the history.
pub const OURSELVES: &str = "jitgate";

impl Origin {
    /// Returns the origin of jitgate's own changes.
    #[must_use]
    pub fn ourselves(why: &str, at: DateTime<Utc>) -> Self {
        Self {
            by: Some(OURSELVES.to_owned()),
            why: Some(why.to_owned()),
            at,
        }
    }

    /// Returns the origin of a change that an unknown person made at GitHub.
    #[must_use]
    pub fn unknown(at: DateTime<Utc>) -> Self {
        Self {
            by: None,
            why: None,
            at,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.by.as_deref().unwrap_or("an unknown person"))?;
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl Change {
    /// Returns a change by this person between two stages.
    #[must_use]
    pub fn new(what: Changed, (from, to): (usize, usize), origin: Origin) -> Self {
        Self {
            at: origin.at,
            what,
            from,
            to,
            by: origin.by,
            why: origin.why,
            would: false,
        }
    }
}

impl Changed {
    /// Returns the name used in records and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Rollback => "rollback",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Hold => "hold",
            Self::Resume => "resume",
        }
    }
}
