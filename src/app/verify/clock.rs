//! The clock of this machine against GitHub's.

use crate::domain::app::is_skewed;
use crate::domain::finding::{Finding, Subject};
use crate::ports::Examination;
use chrono::TimeDelta;

/// Compares the clocks.
pub async fn check(examination: &dyn Examination) -> Finding {
    const WHAT: &str = "clock of this machine";
    match examination.clock_ahead().await {
        Ok(Some(ahead)) if is_skewed(ahead) => Finding::problem(
            Subject::Host,
            match ahead.num_seconds() {
                seconds @ 0.. => format!("the clock of this machine is {seconds} s ahead of GitHub's"),
                seconds => format!("the clock of this machine is {} s behind GitHub's", seconds.abs()),
            },
            "synchronize it, for example: sudo timedatectl set-ntp true",
        ),
        // A date has whole seconds, and its answer takes time.
        Ok(Some(ahead)) if ahead.abs() < TimeDelta::seconds(3) => {
            Finding::ok(Subject::Host, "the clock of this machine agrees with GitHub's")
        }
        Ok(Some(ahead)) => Finding::ok(
            Subject::Host,
            format!(
                "the clock of this machine differs by {} s from GitHub's",
                ahead.num_seconds().abs()
            ),
        ),
        Ok(None) => Finding::unknown(Subject::Host, WHAT, "GitHub's answer has no date"),
        // Other checks report that GitHub does not answer.
        Err(failure) => Finding::unknown(Subject::Host, WHAT, failure),
    }
}
