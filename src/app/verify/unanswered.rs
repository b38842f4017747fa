//! The finding about a question that GitHub did not answer.

use crate::domain::finding::{Finding, Subject};
use crate::ports::Failure;
use std::fmt;

/// The text about a rate limit.
const LIMITED: &str = "GitHub limits the requests of these credentials, so this and other checks are missing";

/// Keeps the first of the findings about rate limits, because one limit stops many questions.
pub fn merged(found: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut is_limited = false;
    let is_kept = |finding: &Finding| {
        let is_repeated = is_limited && finding.what.ends_with(LIMITED);
        is_limited |= finding.what.ends_with(LIMITED);
        !is_repeated
    };
    found.into_iter().filter(is_kept).collect()
}

/// Returns the finding.
pub(super) fn unanswered(object: impl fmt::Display, failure: &Failure) -> Finding {
    match failure {
        Failure::RateLimited { until, .. } => Finding::problem(
            Subject::Github,
            format!("{object}: {LIMITED}"),
            format!("run the command again after {}", until.format("%F %T UTC")),
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
