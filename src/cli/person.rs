//! The person behind a command that changes something, and the reason.

use super::exit::{Exit, Failure};
use crate::domain::alert::inert;
use crate::domain::rollout::Origin;
use crate::runtime;
use anyhow::anyhow;
use chrono::{DateTime, Utc};

/// Maximum length of a stored reason, in characters.
const MAX_WHY_CHARS: usize = 500;
/// Maximum length of the stored name of a person, in characters.
const MAX_NAME_CHARS: usize = 100;

/// A person, with a reason if they want to give one.
#[derive(Debug, Clone, clap::Args)]
pub struct Person {
    /// Reason for the change; stored in the history
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Name of the person. By default the login name
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// A person who must give a reason.
#[derive(Debug, Clone, clap::Args)]
pub struct PersonWithReason {
    /// Reason for the change; stored in the history
    #[arg(long, value_name = "TEXT", required = true)]
    pub why: String,
    /// Name of the person. By default the login name
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

impl Person {
    /// Returns the name of the person as it is stored.
    pub(super) fn name(&self) -> String {
        inert(&self.by.clone().unwrap_or_else(runtime::login_name), MAX_NAME_CHARS)
    }

    /// Returns the person and the reason as they are stored.
    pub(super) fn origin(&self, at: DateTime<Utc>) -> Origin {
        let why = self.why.as_deref().map(|why| inert(why.trim(), MAX_WHY_CHARS));
        Origin {
            by: Some(self.name()),
            why: why.filter(|why| !why.is_empty()),
            at,
        }
    }

    /// Returns the person and the reason, which must not be empty.
    pub(super) fn origin_with_reason(&self, at: DateTime<Utc>) -> Result<Origin, Failure> {
        let origin = self.origin(at);
        if origin.why.is_none() {
            let error = anyhow!("--why is missing or empty, but the reason is stored in the history");
            return Err(Failure::new(Exit::Usage, error).remedy("add --why \"the reason for this change\""));
        }
        Ok(origin)
    }
}

impl PersonWithReason {
    /// Returns the same person.
    pub(super) fn person(&self) -> Person {
        Person {
            why: Some(self.why.clone()),
            by: self.by.clone(),
        }
    }

    /// Returns the person and the reason, which must not be empty.
    pub(super) fn origin(&self, at: DateTime<Utc>) -> Result<Origin, Failure> {
        self.person().origin_with_reason(at)
    }
}
