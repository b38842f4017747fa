//! The finding about a question that GitHub did not answer.

use crate::domain::finding::{Finding, Subject};
use crate::ports::Failure;
use std::fmt;

/// Returns the finding. One rate limit stops many questions, so its finding is the same for all of them.
pub(super) fn unanswered(object: impl fmt::Display, failure: &Failure) -> Finding {
    match failure {
        Failure::RateLimited { until, .. } => Finding::problem(
            Subject::Github,
            format!("GitHub limits the requests of these credentials until {until}, so some checks are missing"),
            "run the command again after this time",
        ),
        Failure::Permanent(_) => Finding::problem(
            Subject::Github,
            format!("{object}: {failure}"),
            "install the app there with the permissions in the README, or renew the token",
        ),
        Failure::Transient(_) => Finding::problem(
            Subject::Github,
            format!("{object}: {failure}"),
            "check that github.api_url is correct (https://HOST/api/v3 for a GitHub Enterprise Server) and reachable, and try \
             again",
        ),
    }
}
