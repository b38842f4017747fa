//! What is wrong with a configuration, told so that an operator can act: key, value, where it came from, remedy.
//!
//! Values are masked before they get here, so a problem can be printed anywhere. What is quoted is escaped: it is one line.

use crate::domain::finding::{Finding, Severity, Subject};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The embedded `default.toml`.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// Given by the caller, as the `settings` of a fixture.
    Overrides,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Overrides => f.write_str("settings"),
        }
    }
}

/// One setting as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its value as JSON, secrets masked. None when nothing is set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Option<Origin>,
}

/// One thing that is wrong, or risky.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The setting, as `section.key`; the variable or file when there is no setting to name.
    pub key: String,
    /// Its value as JSON, masked when it is a secret. None when nothing is set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Option<Origin>,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem with something that has no value to show.
    pub(super) fn new(key: impl fmt::Display, what: impl Into<String>, remedy: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            key: key.to_string(),
            value: None,
            origin: None,
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    /// Returns the problem as a finding of this severity.
    #[must_use]
    pub fn finding(&self, severity: Severity) -> Finding {
        let value = self
            .value
            .as_ref()
            .map_or_else(String::new, |value| format!(" = {value}"));
        let origin = self
            .origin
            .as_ref()
            .map_or_else(String::new, |origin| format!(" (from {origin})"));
        Finding {
            subject: Subject::Configuration,
            severity,
            what: format!("{}{value}{origin}: {}", self.key, self.what),
            remedy: Some(self.remedy.clone()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding(Severity::Problem).fmt(f)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
