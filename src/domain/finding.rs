//! Findings: the results of checks on the configuration, the store, GitHub and the runner host.

use serde::Serialize;
use std::fmt;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The subject is as it should be.
    Ok,
    /// The check cannot be made here.
    Unknown,
    /// Jobs can be served, but something is risky or not switched on.
    Warning,
    /// Jobs cannot be served.
    Problem,
}

/// The part of the installation that a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The settings.
    Configuration,
    /// The store of deliveries and records.
    Store,
    /// Access to GitHub.
    Github,
    /// The setup of one repository.
    Repository,
    /// The machine that runs jobs.
    Host,
    /// The running process.
    #[serde(rename = "gate")]
    Process,
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: Subject,
    #[serde(rename = "verdict")]
    pub severity: Severity,
    /// The fact, with the name of the object.
    pub what: String,
    /// The next step of the operator; none if nothing is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// Returns a finding about a subject that is as it should be.
    #[must_use]
    pub fn ok(subject: Subject, what: impl Into<String>) -> Self {
        Self {
            subject,
            severity: Severity::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    /// Returns a finding about a check that cannot be made.
    #[must_use]
    pub fn unknown(subject: Subject, what: &str, why: impl fmt::Display) -> Self {
        Self {
            severity: Severity::Unknown,
            ..Self::ok(subject, format!("{what}: not checked, because {why}"))
        }
    }

    /// Returns a finding about something that is risky or not switched on.
    #[must_use]
    pub fn warning(subject: Subject, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            remedy: Some(remedy.into()),
            ..Self::ok(subject, what)
        }
    }

    /// Returns a finding about something that keeps jobs from being served.
    #[must_use]
    pub fn problem(subject: Subject, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Problem,
            ..Self::warning(subject, what, remedy)
        }
    }

    /// Returns true if the finding keeps jobs from being served.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        self.severity == Severity::Problem
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
