//! Jobs as GitHub shows them: which event about a job is missing.

use crate::domain::event::{Action, Job, JobStatus};
use crate::domain::job::Progress;
use chrono::{DateTime, TimeDelta, Utc};

/// Time in which an event is expected to arrive by itself. Half of GitHub's deliveries arrive within 2 s.
pub const DELIVERY_GRACE: TimeDelta = TimeDelta::seconds(10);
/// Age up to which the end of an unknown job is reported. The ledger forgets finished jobs of outsiders, so an older job
/// was most likely known before.
pub const MAX_AGE_OF_UNKNOWN: TimeDelta = TimeDelta::hours(5);
/// Time after which a queued job without a decision is a problem.
pub const DECISION_TIMEOUT: TimeDelta = TimeDelta::minutes(1);

/// Returns the event that is missing about a job: GitHub shows it ahead of `known`, its progress in the ledger, and the
/// event has had time to arrive. The end of a job is reported at once, because its run may not be polled again. Only events that a decision can depend on are returned.
#[must_use]
pub fn missing_event(job: &Job, known: Option<Progress>, now: DateTime<Utc>) -> Option<Action> {
    let (action, shown, since) = match job.status {
        JobStatus::Queued => (Action::Queued, Progress::Queued, job.created_at),
        JobStatus::InProgress => (Action::InProgress, Progress::InProgress, job.started_at),
        JobStatus::Completed => (Action::Completed, Progress::Completed, None),
        JobStatus::Waiting | JobStatus::Other => return None,
    };
    let is_old = |at: DateTime<Utc>| now - at >= MAX_AGE_OF_UNKNOWN;
    if known.unwrap_or_default() >= shown || since.is_some_and(|since| now - since < DELIVERY_GRACE) {
        return None;
    }
    if known.is_none() && shown == Progress::Completed && job.created_at.is_some_and(is_old) {
        return None;
    }
    Some(action)
}

/// Returns true if a job waits at GitHub for so long that it must have a decision.
#[must_use]
pub fn is_overdue(queued_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - queued_at >= DECISION_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{JobId, RunId};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// A job that was created at 0 and started at 100.
    fn job(status: JobStatus) -> Job {
        Job {
            id: JobId(1),
            run_id: RunId(2),
            run_attempt: 1,
            name: "web".to_owned(),
            head_sha: "sha".to_owned(),
            labels: Vec::new(),
            status,
            conclusion: None,
            created_at: Some(at(0)),
            started_at: Some(at(100)),
            completed_at: None,
            runner: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_missing_event_is_the_one_that_github_is_ahead_by() {
        use JobStatus::{Completed, InProgress, Other, Queued, Waiting};
        let hours = |hours: i64| hours * 3600;
        for (what, status, known, now, expected) in [
            ("unknown", Queued, None, 10, Some(Action::Queued)),
            ("on its way", Queued, None, 9, None),
            ("known", Queued, Some(Progress::Queued), 10, None),
            ("held before", Queued, Some(Progress::Waiting), 10, Some(Action::Queued)),
            ("queued again", Queued, Some(Progress::InProgress), 900, None),
            (
                "started",
                InProgress,
                Some(Progress::Queued),
                110,
                Some(Action::InProgress),
            ),
            ("just started", InProgress, Some(Progress::Queued), 109, None),
            ("started, unknown", InProgress, None, 110, Some(Action::InProgress)),
            (
                "over",
                Completed,
                Some(Progress::InProgress),
                110,
                Some(Action::Completed),
            ),
            ("over, known", Completed, Some(Progress::Completed), 110, None),
            ("over, unknown", Completed, None, 110, Some(Action::Completed)),
            ("over, and forgotten", Completed, None, hours(5), None),
            (
                "over, long ago",
                Completed,
                Some(Progress::Queued),
                hours(50),
                Some(Action::Completed),
            ),
            ("held", Waiting, None, 900, None),
            ("of the future", Other, None, 900, None),
        ] {
            assert_eq!(missing_event(&job(status), known, at(now)), expected, "{what}");
        }
        let undated = Job {
            created_at: None,
            ..job(Queued)
        };
        assert_eq!(missing_event(&undated, None, at(0)), Some(Action::Queued));
    }

    #[test]
    fn a_job_is_overdue_after_a_minute() {
        assert!(!is_overdue(at(0), at(59)) && is_overdue(at(0), at(60)));
    }
}
