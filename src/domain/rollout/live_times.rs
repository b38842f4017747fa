//! The times of a job as GitHub itself shows them. Times in deliveries can be forged by anyone who knows the webhook secret.

use crate::domain::event::{Job, JobStatus};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// GitHub's answer to a question about a job of a measured run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTimes {
    pub asked_at: DateTime<Utc>,
    /// False if GitHub does not know the job.
    pub exists: bool,
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// The start on a runner.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub ended_at: Option<DateTime<Utc>>,
}

impl LiveTimes {
    /// Returns the times that GitHub showed at `asked_at`.
    #[must_use]
    pub fn of(job: Option<&Job>, asked_at: DateTime<Utc>) -> Self {
        let status = job.map(|job| job.status);
        // GitHub shows a start although the job is still queued, and for a job that ended in the queue.
        let has_started = matches!(status, Some(JobStatus::InProgress | JobStatus::Completed))
            && job.is_some_and(|job| job.runner.is_some());
        let has_ended = status == Some(JobStatus::Completed);
        Self {
            asked_at,
            exists: job.is_some(),
            created_at: job.and_then(|job| job.created_at),
            started_at: job.and_then(|job| job.started_at).filter(|_| has_started),
            ended_at: job.and_then(|job| job.completed_at).filter(|_| has_ended),
        }
    }

    /// Returns the start of the job, which was reported as `reported`. A start that GitHub has shown is final.
    #[must_use]
    pub fn start(&self, reported: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.started_at.or_else(|| self.later(reported, now))
    }

    /// Returns the end of the job, which was reported as `reported`.
    #[must_use]
    pub fn end(&self, reported: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.ended_at.or_else(|| self.later(reported, now))
    }

    /// Returns the time until which GitHub has shown the job waiting.
    #[must_use]
    pub fn waited_until(&self) -> DateTime<Utc> {
        self.started_at.or(self.ended_at).unwrap_or(self.asked_at)
    }

    /// A reported time can be true if it lies between the question and now: it is what GitHub could not show yet.
    fn later(&self, reported: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        reported.filter(|at| *at > self.asked_at && *at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::JobRunner;
    use crate::domain::ids::RunnerId;
    use crate::domain::samples::{self, at};

    #[test]
    fn a_time_that_github_shows_is_final_and_a_reported_one_must_be_possible() {
        let waiting = LiveTimes {
            asked_at: at(100),
            exists: true,
            created_at: Some(at(0)),
            started_at: None,
            ended_at: None,
        };
        let started = LiveTimes {
            started_at: Some(at(40)),
            ..waiting
        };
        for (live, reported, start) in [
            (waiting, None, None),
            (waiting, Some(99), None),
            (waiting, Some(101), Some(101)),
            (waiting, Some(200), Some(200)),
            (waiting, Some(201), None),
            (started, None, Some(40)),
            (started, Some(150), Some(40)),
        ] {
            assert_eq!(live.start(reported.map(at), at(200)), start.map(at), "{reported:?}");
        }
        assert_eq!(
            waiting.end(Some(at(300)), at(200)),
            None,
            "an end in the future is no end"
        );
        assert_eq!((waiting.waited_until(), started.waited_until()), (at(100), at(40)));
    }

    #[test]
    fn only_a_job_on_a_runner_has_started_and_only_a_completed_one_has_ended() {
        use JobStatus::{Completed, InProgress, Queued};
        let runner = JobRunner {
            id: RunnerId(5),
            name: "runner-5".to_owned(),
        };
        for (status, on, start, end) in [
            (Queued, None, None, None),
            (Queued, Some(&runner), None, None),
            (InProgress, Some(&runner), Some(40), None),
            (InProgress, None, None, None),
            (Completed, Some(&runner), Some(40), Some(90)),
            // It ended in the queue.
            (Completed, None, None, Some(90)),
        ] {
            let job = Job {
                started_at: Some(at(40)),
                completed_at: Some(at(90)),
                runner: on.cloned(),
                ..samples::job(status)
            };
            let live = LiveTimes::of(Some(&job), at(100));
            assert_eq!(
                (live.started_at, live.ended_at),
                (start.map(at), end.map(at)),
                "{status:?} {on:?}"
            );
        }
    }

    #[test]
    fn a_job_that_github_does_not_know_has_no_times() {
        let live = LiveTimes::of(None, at(5));
        assert_eq!(
            (live.exists, live.created_at, live.started_at, live.ended_at),
            (false, None, None, None)
        );
    }
}
