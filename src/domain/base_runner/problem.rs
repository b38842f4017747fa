//! One thing that is wrong with a runner, and its remedy.

use serde::Serialize;

/// A problem. Its JSON form is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The name of the runner, service or file.
    pub subject: String,
    /// The fault.
    pub what: String,
    /// The next step of the operator.
    pub remedy: String,
}

impl Problem {
    /// Returns a problem.
    #[must_use]
    pub fn new(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}
