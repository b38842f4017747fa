//! Polling: which runs to ask GitHub for, and which event about a job is missing.
//!
//! Outsiders start as many runs as they like, so their runs come last and are rationed. The delivery log returns their
//! lost events.
//!
//! | the run | asked for |
//! |---|---|
//! | can be trusted: event `pull_request`, code of the repository itself | always, the oldest run first |
//! | any other, never asked for or not for [`OUTSIDERS_INTERVAL`] | as far as the ration reaches, the longest ago first |
//! | any other | not now |

use crate::domain::decision::Decision;
use crate::domain::event::{Action, Job, JobStatus};
use crate::domain::job::Progress;
use crate::domain::reason::Reason;
use crate::domain::trust::Trust;
use chrono::{DateTime, TimeDelta, Utc};

/// The ration of a poll: calls about runs that cannot be trusted.
pub const OUTSIDERS_RATION: usize = 3;
/// Minimum time between two polls of one run that cannot be trusted.
pub const OUTSIDERS_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// A run that a poll can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<K> {
    pub key: K,
    pub created_at: Option<DateTime<Utc>>,
    pub can_be_trusted: bool,
    /// The time of the latest question about it. It is read only if the run cannot be trusted.
    pub asked_at: Option<DateTime<Utc>>,
}

/// Returns false for a run that [`crate::domain::trust`] never trusts: outsiders can start runs of forks, and runs of the
/// repository itself by comments and issues.
#[must_use]
pub fn can_be_trusted(event: &str, from_fork: bool) -> bool {
    event == "pull_request" && !from_fork
}

/// Returns the runs to ask for, in this order, by the table of this module. At most `ration` of them cannot be trusted;
/// without a ration, every run is asked for.
#[must_use]
pub fn runs_to_ask<K: Ord>(candidates: Vec<Candidate<K>>, ration: Option<usize>, now: DateTime<Utc>) -> Vec<K> {
    let (mut first, mut others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|run| run.can_be_trusted);
    first.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
    others.sort_by(|a, b| (a.asked_at, a.created_at, &a.key).cmp(&(b.asked_at, b.created_at, &b.key)));
    if let Some(ration) = ration {
        others.retain(|run| run.asked_at.is_none_or(|asked| now - asked >= OUTSIDERS_INTERVAL));
        others.truncate(ration);
    }
    first.into_iter().chain(others).map(|run| run.key).collect()
}

/// The calls by which earlier polls exceeded their ration, because a run can have jobs for several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overdraft(usize);

impl Overdraft {
    /// Returns what is left of the ration of a poll, and pays for the rest.
    pub fn ration(&mut self) -> usize {
        let paid = self.0.min(OUTSIDERS_RATION);
        self.0 -= paid;
        OUTSIDERS_RATION - paid
    }

    /// Counts the calls about one run, of which the ration contains one.
    pub fn count(&mut self, calls: usize) {
        self.0 += calls.saturating_sub(1);
    }
}

/// Time in which an event is expected to arrive by itself. Half of GitHub's deliveries arrive within 2 s.
const DELIVERY_DELAY: TimeDelta = TimeDelta::seconds(10);
/// Age up to which the end of an unknown job is reported. The ledger forgets finished jobs of outsiders, so an older job
/// was most likely known before.
pub const MAX_AGE_OF_UNKNOWN: TimeDelta = TimeDelta::hours(5);
/// Time after which a queued job without a decision is a problem.
pub const DECISION_TIMEOUT: TimeDelta = TimeDelta::minutes(1);

/// Returns the event that is missing about a job: GitHub shows it ahead of `known`, its progress in the ledger, and the
/// event has had time to arrive. The end of a job is reported at once, because its run may not be polled again. Only
/// events that a decision can depend on are returned.
#[must_use]
pub fn missing_event(job: &Job, known: Option<Progress>, now: DateTime<Utc>) -> Option<Action> {
    let (action, shown, since) = match job.status {
        JobStatus::Queued => (Action::Queued, Progress::Queued, job.created_at),
        JobStatus::InProgress => (Action::InProgress, Progress::InProgress, job.started_at),
        JobStatus::Completed => (Action::Completed, Progress::Completed, None),
        JobStatus::Waiting | JobStatus::Other => return None,
    };
    let is_old = |at: DateTime<Utc>| now - at >= MAX_AGE_OF_UNKNOWN;
    if known.unwrap_or_default() >= shown || since.is_some_and(|since| now - since < DELIVERY_DELAY) {
        return None;
    }
    if known.is_none() && shown == Progress::Completed && job.created_at.is_some_and(is_old) {
        return None;
    }
    Some(action)
}

/// Returns false for a decision that is only the attempt of one: GitHub did not answer, so it is made again later.
#[must_use]
pub fn decides(decision: &Decision) -> bool {
    decision.trust.verdict != Trust::Unknown || !decision.reasons().contains(&&Reason::GitHubUnavailable)
}

/// Returns true if a job waits at GitHub for so long that it must have a decision.
#[must_use]
pub fn is_overdue(queued_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - queued_at >= DECISION_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::{self, at};

    /// A job that was created at 0 and started at 100.
    fn job(status: JobStatus) -> Job {
        Job {
            created_at: Some(at(0)),
            started_at: Some(at(100)),
            ..samples::job(status)
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

    /// A run by its number: the hundreds are the second of its creation.
    fn run(key: u32, can_be_trusted: bool, asked_at: Option<i64>) -> Candidate<u32> {
        Candidate {
            key,
            created_at: Some(at(i64::from(key / 100))),
            can_be_trusted,
            asked_at: asked_at.map(at),
        }
    }

    #[test]
    fn only_runs_of_pull_requests_of_the_repository_itself_can_be_trusted() {
        for (event, from_fork, expected) in [
            ("pull_request", false, true),
            ("pull_request", true, false),
            ("issue_comment", false, false),
            ("push", false, false),
            ("", false, false),
        ] {
            assert_eq!(can_be_trusted(event, from_fork), expected, "{event} {from_fork}");
        }
    }

    #[test]
    fn every_row_of_the_table_of_runs_has_its_place() {
        let undated = Candidate {
            created_at: None,
            ..run(9, true, None)
        };
        for (what, runs, ration, expected) in [
            (
                "the oldest first",
                vec![run(300, true, None), run(100, true, None), run(200, true, None)],
                Some(3),
                vec![100, 200, 300],
            ),
            (
                "trusted ones always",
                vec![run(100, true, Some(999)), run(101, true, Some(999))],
                Some(0),
                vec![100, 101],
            ),
            (
                "unknown age",
                vec![run(100, true, None), undated],
                Some(3),
                vec![9, 100],
            ),
            (
                "others last",
                vec![run(100, false, None), run(900, true, None)],
                Some(3),
                vec![900, 100],
            ),
            (
                "the ration",
                vec![
                    run(500, false, None),
                    run(400, false, None),
                    run(300, false, None),
                    run(200, false, None),
                ],
                Some(3),
                vec![200, 300, 400],
            ),
            (
                "no ration is left",
                vec![run(100, false, None), run(200, true, None)],
                Some(0),
                vec![200],
            ),
            (
                "the longest ago first",
                vec![
                    run(100, false, Some(930)),
                    run(200, false, Some(910)),
                    run(300, false, Some(920)),
                    run(400, false, None),
                ],
                Some(3),
                vec![400, 200, 300],
            ),
            (
                "once a minute",
                vec![run(100, false, Some(941)), run(200, false, Some(940))],
                Some(3),
                vec![200],
            ),
            (
                "by hand",
                vec![
                    run(100, false, Some(999)),
                    run(200, false, None),
                    run(300, false, None),
                    run(400, false, None),
                    run(500, true, None),
                ],
                None,
                vec![500, 200, 300, 400, 100],
            ),
        ] {
            assert_eq!(runs_to_ask(runs, ration, at(1000)), expected, "{what}");
        }
    }

    #[test]
    fn a_run_with_many_jobs_uses_the_ration_of_later_polls() {
        let mut overdraft = Overdraft::default();
        assert_eq!(overdraft.ration(), 3);
        overdraft.count(1);
        overdraft.count(6);
        assert_eq!([(); 3].map(|()| overdraft.ration()), [0, 1, 3]);
    }

    #[test]
    fn a_decision_that_github_leaves_open_decides_nothing() {
        let open = Reason::GitHubUnavailable;
        for (trust, of_trust, of_admission, expected) in [
            (Trust::Trusted, None, None, true),
            (Trust::Untrusted, None, None, true),
            (Trust::Unknown, Some(open.clone()), None, false),
            (Trust::Unknown, None, Some(open.clone()), false),
            // The answers that are missing do not concern the runner's right to the job, or nothing is missing.
            (Trust::Trusted, None, Some(open), true),
            (Trust::Unknown, Some(Reason::RunGone), None, true),
        ] {
            let decision = samples::decision(
                trust,
                of_trust.into_iter().collect(),
                of_admission.into_iter().collect(),
            );
            assert_eq!(decides(&decision), expected, "{decision:?}");
        }
    }

    #[test]
    fn a_job_is_overdue_after_a_minute() {
        assert!(!is_overdue(at(0), at(59)) && is_overdue(at(0), at(60)));
    }
}
