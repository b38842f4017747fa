//! Doubt about queue waits: the jobs that GitHub is asked about before a reported wait switches routing off, and the time
//! for which its answer is awaited.

use super::measure::per_pull_request;
use super::policy::RolloutPolicy;
use super::triggers::{Grounds, QueueWait, Waits, queue_wait, queue_wait_sample};
use crate::domain::ids::JobId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Maximum number of jobs that GitHub is asked about at once.
const MAX_QUESTIONS: usize = 10;
/// Time for which GitHub's answer is awaited. A rollback is the safe direction and a person can undo it, so a reported wait
/// that GitHub neither confirms nor denies in this time counts.
const TIMEOUT: TimeDelta = TimeDelta::seconds(30);
/// Interval of the questions after that time.
const LATE_INTERVAL: TimeDelta = TimeDelta::seconds(60);

/// Time for which GitHub must deny that a job exists. Right after an event, and during a fault, GitHub denies what exists.
const ABSENCE_DELAY: TimeDelta = TimeDelta::seconds(10);

/// Reported queue waits that hit the trigger while GitHub gives no answer about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub since: DateTime<Utc>,
    /// The time of the last questions.
    pub asked_at: DateTime<Utc>,
}

impl Doubt {
    /// Returns the doubt after questions without an answer.
    #[must_use]
    pub fn unanswered(earlier: Option<Self>, now: DateTime<Utc>) -> Self {
        Self {
            since: earlier.map_or(now, |earlier| earlier.since),
            asked_at: now,
        }
    }

    /// Returns true if a job that GitHub does not know is believed not to exist.
    #[must_use]
    pub fn believes_absence(&self, now: DateTime<Utc>) -> bool {
        now - self.since >= ABSENCE_DELAY
    }

    /// Returns the waits that a judgement rests on.
    #[must_use]
    pub fn waits(&self, now: DateTime<Utc>) -> Waits {
        match now - self.since >= TIMEOUT {
            true => Waits::Reported,
            false => Waits::Confirmed,
        }
    }

    /// Returns true if it is time to ask again.
    #[must_use]
    pub fn asks(&self, now: DateTime<Utc>) -> bool {
        self.waits(now) == Waits::Confirmed || now - self.asked_at >= LATE_INTERVAL
    }
}

/// Returns the jobs that decide whether a hit queue wait is real, the newest run first: of each run the longest wait above
/// the limit that GitHub has not shown. Returns none if the trigger is not hit, or is hit by confirmed waits alone.
#[must_use]
pub fn doubtful(policy: &RolloutPolicy, grounds: &Grounds<'_>) -> Vec<JobId> {
    let runs = grounds.period.runs(grounds.runs);
    let firsts = per_pull_request(&runs);
    let by = |waits| Grounds { waits, ..*grounds };
    let is_hit = |waits| queue_wait(policy, &firsts, &by(waits)).hit;
    if !is_hit(Waits::Reported) || is_hit(Waits::Confirmed) {
        return Vec::new();
    }
    let sample = queue_wait_sample(policy, &firsts, &by(Waits::Reported));
    let jobs = sample.iter().filter_map(|(run, _)| {
        let unproven = run.jobs.iter().filter_map(|(id, job)| {
            let wait = |waits| Some(QueueWait::of(policy, job, waits, grounds.now)?.chosen(policy));
            let (reported, confirmed) = (wait(Waits::Reported)?, wait(Waits::Confirmed)?);
            let is_doubtful = reported > policy.queue_wait_p95 && confirmed <= policy.queue_wait_p95;
            is_doubtful.then_some((reported, *id))
        });
        unproven.max().map(|(_, id)| id)
    });
    jobs.take(MAX_QUESTIONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RunId;
    use crate::domain::rollout::{Lifecycle, LiveTimes, MeasuredJob, MeasuredRun, Period, Tally};
    use crate::domain::samples::{at, measured_job, rollout_policy};

    const NONE: [u64; 0] = [];

    fn policy() -> RolloutPolicy {
        RolloutPolicy {
            queue_wait_window: 2,
            ..rollout_policy()
        }
    }

    fn job(wait: i64, live: Option<LiveTimes>) -> MeasuredJob {
        MeasuredJob {
            live,
            ..measured_job(Lifecycle::Running, 0, Some(wait))
        }
    }

    fn shown(start: Option<i64>, asked: i64) -> Option<LiveTimes> {
        Some(LiveTimes {
            asked_at: at(asked),
            exists: true,
            created_at: Some(at(0)),
            started_at: start.map(at),
            ended_at: None,
        })
    }

    fn run(id: u64, jobs: &[MeasuredJob]) -> MeasuredRun {
        MeasuredRun {
            run: RunId(id),
            attempt: 1,
            pull_request: id,
            created_at: at(i64::try_from(id).unwrap_or(0)),
            jobs: (id * 10..).map(JobId).zip(jobs.iter().cloned()).collect(),
            tally_before: Tally::default(),
        }
    }

    fn asked(runs: &[MeasuredRun]) -> Vec<u64> {
        let grounds = Grounds {
            period: Period::default(),
            runs,
            mismatches: &[],
            outage: None,
            waits: Waits::Confirmed,
            now: at(500),
        };
        let jobs = doubtful(&policy(), &grounds);
        jobs.iter().map(|job| job.0).collect()
    }

    #[test]
    fn github_is_asked_about_the_waits_that_decide() {
        let quick = run(1, &[job(5, None)]);
        assert_eq!(asked(&[run(2, &[job(300, None)])]), NONE, "too few to judge");
        assert_eq!(asked(&[quick.clone(), run(2, &[job(120, None)])]), NONE, "at the limit");
        let two = run(2, &[job(5, None), job(200, None), job(300, None)]);
        assert_eq!(asked(&[quick.clone(), two.clone()]), [22], "the longest of a run");
        assert_eq!(
            asked(&[run(1, &[job(400, None)]), two]),
            [22, 10],
            "the newest run first"
        );
        let confirmed = run(3, &[job(121, shown(Some(121), 130))]);
        assert_eq!(
            asked(&[run(2, &[job(300, None)]), confirmed]),
            NONE,
            "one real wait is enough"
        );
        let waits_at_121 = run(3, &[job(300, shown(None, 121))]);
        assert_eq!(
            asked(&[quick.clone(), waits_at_121]),
            NONE,
            "GitHub has shown it waiting"
        );
        let waits_at_120 = run(3, &[job(300, shown(None, 120))]);
        assert_eq!(asked(&[quick, waits_at_120]), [30]);
    }

    #[test]
    fn at_most_ten_jobs_are_asked_about_at_once() {
        let policy = RolloutPolicy {
            queue_wait_window: 12,
            ..rollout_policy()
        };
        let runs: Vec<MeasuredRun> = (1..=12).map(|id| run(id, &[job(300, None)])).collect();
        let grounds = Grounds {
            period: Period::default(),
            runs: &runs,
            mismatches: &[],
            outage: None,
            waits: Waits::Confirmed,
            now: at(500),
        };
        assert_eq!(doubtful(&policy, &grounds).len(), MAX_QUESTIONS);
    }

    #[test]
    fn a_wait_counts_without_an_answer_after_the_timeout() {
        let doubt = Doubt::unanswered(None, at(0));
        let later = Doubt::unanswered(Some(doubt), at(29));
        assert_eq!(later.since, at(0));
        assert!(!later.believes_absence(at(9)) && later.believes_absence(at(10)));
        assert_eq!(
            (later.waits(at(29)), later.waits(at(30))),
            (Waits::Confirmed, Waits::Reported)
        );
        assert!(later.asks(at(29)) && !later.asks(at(88)) && later.asks(at(89)));
    }
}
