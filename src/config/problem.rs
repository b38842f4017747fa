//! Problems of a configuration, each with key, value, origin and remedy.
//!
//! Values are masked beforehand, so a problem can be printed anywhere. Quoted text is escaped and fits on one line.

use crate::domain::finding::{Finding, Severity, Subject};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The origin of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The embedded `default.toml`.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// The caller, such as the `settings` of a fixture.
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

/// A setting in displayable form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The value as JSON with masked secrets; `None` if it is not set.
    pub value: Option<String>,
    pub origin: Option<Origin>,
}

/// A wrong or risky setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The setting as `section.key`, or the variable or file if no setting is concerned.
    pub key: String,
    /// The value as JSON, masked if it is a secret; `None` if it is not set.
    pub value: Option<String>,
    pub origin: Option<Origin>,
    pub what: String,
    pub remedy: String,
}

impl Problem {
    /// Returns a problem without a displayable value.
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

/// All problems of a configuration.
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
