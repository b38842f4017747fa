//! Measurements of a trusted run: the queue wait and its parts, the setup latency, the life cycle of its runners, and
//! the routing verdicts of its jobs.

use super::lifecycle::{Lifecycle, WaitParts};
use super::live_times::LiveTimes;
use crate::domain::ids::{JobId, RunId};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// One attempt of a trusted run with at least one job that belongs on self-hosted runners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRun {
    pub run: RunId,
    pub attempt: u32,
    pub pull_request: u64,
    /// The creation time of the run's first attempt, by GitHub's clock.
    pub created_at: DateTime<Utc>,
    /// The jobs in the class Pool, and those that were not routed.
    #[serde(with = "job_list")]
    pub jobs: BTreeMap<JobId, MeasuredJob>,
    /// The routing verdicts of all other jobs that were judged before this run was first seen.
    #[serde(default)]
    pub tally_before: Tally,
}

/// The stored form of the jobs is a list. A map with numbers as keys cannot be read back from a flattened record.
mod job_list {
    use super::{BTreeMap, JobId, MeasuredJob};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct Stored<'a> {
        id: JobId,
        #[serde(flatten)]
        job: &'a MeasuredJob,
    }

    #[derive(Deserialize)]
    struct Read {
        id: JobId,
        #[serde(flatten)]
        job: MeasuredJob,
    }

    pub(super) fn serialize<S: Serializer>(
        jobs: &BTreeMap<JobId, MeasuredJob>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(jobs.iter().map(|(id, job)| Stored { id: *id, job }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<JobId, MeasuredJob>, D::Error> {
        let jobs = Vec::<Read>::deserialize(deserializer)?;
        Ok(jobs.into_iter().map(|read| (read.id, read.job)).collect())
    }
}

/// A job of a measured run. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredJob {
    /// The last routing verdict.
    pub verdict: RoutingVerdict,
    /// GitHub's times. `started_at` is set only after the job has started on a runner.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub ended_at: Option<DateTime<Utc>>,
    /// The parts of the wait, as far as they are known.
    #[serde(default)]
    pub parts: WaitParts,
    /// The time from the start of the job to its first own step.
    #[serde(default)]
    pub setup_ms: Option<u64>,
    pub lifecycle: Lifecycle,
    /// GitHub's own times, if it was asked because the wait could switch routing off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveTimes>,
}

impl MeasuredRun {
    /// Returns the longest queue wait of its pool jobs, or none if none of them waits or waited. A job that waits
    /// counts with its wait until `now`.
    #[must_use]
    pub fn queue_wait(&self, now: DateTime<Utc>, exclude_delivery_lag: bool) -> Option<TimeDelta> {
        let waits = self.jobs.values().map(|job| job.queue_wait(now, exclude_delivery_lag));
        waits.max().flatten()
    }

    /// Returns the longest setup latency of its jobs.
    #[must_use]
    pub fn setup_latency(&self) -> Option<TimeDelta> {
        self.jobs.values().filter_map(MeasuredJob::setup_latency).max()
    }

    /// Returns the worst life cycle of its jobs, or none if no job counts.
    #[must_use]
    pub fn lifecycle(&self) -> Option<Lifecycle> {
        let of_jobs = self.jobs.values().map(|job| job.lifecycle);
        of_jobs
            .filter(|lifecycle| lifecycle.counts())
            .max_by_key(|lifecycle| lifecycle.severity())
    }

    /// Returns true if nothing about the run can change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.jobs.values().all(MeasuredJob::is_final)
    }

    /// Returns false if every job was cancelled or denied. Such a run is no sample of anything.
    #[must_use]
    pub fn counts(&self) -> bool {
        let is_dropped = |job: &MeasuredJob| matches!(job.lifecycle, Lifecycle::Cancelled | Lifecycle::Denied);
        !self.jobs.values().all(is_dropped)
    }

    /// Returns the counts of its routing verdicts.
    #[must_use]
    pub fn verdicts(&self) -> Tally {
        self.jobs.values().fold(Tally::default(), |mut tally, job| {
            tally.add(job.verdict);
            tally
        })
    }

    /// Returns the order in which runs and attempts were created.
    #[must_use]
    pub fn order(&self) -> (DateTime<Utc>, RunId, u32) {
        (self.created_at, self.run, self.attempt)
    }
}

impl MeasuredJob {
    /// Returns true if the job requests runners of the pool. A job that was not routed does not.
    #[must_use]
    pub fn is_of_the_pool(&self) -> bool {
        self.verdict != RoutingVerdict::NotRouted
    }

    /// Returns the time from the creation of a pool job to its start; for one that did not start, to its end or `now`.
    /// A job that was cancelled or denied before its start has none.
    #[must_use]
    pub fn queue_wait(&self, now: DateTime<Utc>, exclude_delivery_lag: bool) -> Option<TimeDelta> {
        let is_dropped = matches!(
            self.lifecycle,
            Lifecycle::Cancelled | Lifecycle::Denied | Lifecycle::Elsewhere
        );
        let until = self.started_at.or_else(|| {
            let waits = !is_dropped;
            waits.then(|| self.ended_at.unwrap_or(now))
        })?;
        self.wait_until(until, exclude_delivery_lag)
    }

    /// Returns the part of the queue wait that GitHub itself has shown; zero if it was not asked.
    #[must_use]
    pub fn confirmed_wait(&self, exclude_delivery_lag: bool) -> TimeDelta {
        let shown = self.live.filter(|live| live.exists);
        let wait = shown.and_then(|live| self.wait_until(live.waited_until(), exclude_delivery_lag));
        wait.unwrap_or_default()
    }

    /// Returns the job with GitHub's own times instead of the reported ones. A job that GitHub does not know counts as
    /// cancelled.
    #[must_use]
    pub fn corrected(mut self, now: DateTime<Utc>) -> Self {
        let Some(live) = self.live else {
            return self;
        };
        if !live.exists {
            self.lifecycle = Lifecycle::Cancelled;
            return self;
        }
        if let (Some(reported), Some(shown), Some(lag)) = (self.created_at, live.created_at, self.parts.delivery_lag_ms)
        {
            let received_at = reported + milliseconds(lag);
            self.parts.delivery_lag_ms = u64::try_from((received_at - shown).num_milliseconds().max(0)).ok();
        }
        self.created_at = live.created_at.or(self.created_at);
        self.started_at = live.start(self.started_at, now);
        self.ended_at = live.end(self.ended_at, now);
        self
    }

    /// Returns the job with values that were derived from the state before. Its verdict stays, and so does a newer answer of
    /// GitHub, which another worker may have received meanwhile.
    #[must_use]
    pub fn updated(&self, derived: &Self, now: DateTime<Utc>) -> Self {
        let answers = [self.live, derived.live].into_iter().flatten();
        let updated = Self {
            verdict: self.verdict,
            live: answers.max_by_key(|live| live.asked_at),
            ..derived.clone()
        };
        updated.corrected(now)
    }

    fn wait_until(&self, until: DateTime<Utc>, exclude_delivery_lag: bool) -> Option<TimeDelta> {
        if !self.is_of_the_pool() {
            return None;
        }
        let lag = self.parts.delivery_lag_ms.filter(|_| exclude_delivery_lag);
        let wait = until - self.created_at? - milliseconds(lag.unwrap_or_default());
        Some(wait.max(TimeDelta::zero()))
    }

    /// Returns the time from the start of the job to its first own step.
    #[must_use]
    pub fn setup_latency(&self) -> Option<TimeDelta> {
        self.setup_ms.map(milliseconds)
    }

    /// Returns true if nothing about the job can change any more. An operator can retry a job that got no runner until
    /// it ends at GitHub.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.lifecycle {
            Lifecycle::Waiting | Lifecycle::Running => false,
            Lifecycle::BootFailed | Lifecycle::RegistrationFailed | Lifecycle::Lost | Lifecycle::Denied => {
                self.ended_at.is_some()
            }
            Lifecycle::Success | Lifecycle::TearDownFailed | Lifecycle::Cancelled | Lifecycle::Elsewhere => true,
        }
    }
}

/// Returns the first run of each pull request among these runs, newest first. A run whose jobs were all cancelled or
/// denied is passed over.
#[must_use]
pub fn per_pull_request(runs: &[MeasuredRun]) -> Vec<&MeasuredRun> {
    let mut counted: Vec<&MeasuredRun> = runs.iter().filter(|run| run.counts()).collect();
    counted.sort_by_key(|run| run.order());
    let mut known = BTreeSet::new();
    counted.retain(|run| known.insert(run.pull_request));
    counted.sort_by_key(|run| Reverse(run.order()));
    counted
}

fn milliseconds(number: u64) -> TimeDelta {
    i64::try_from(number)
        .ok()
        .and_then(TimeDelta::try_milliseconds)
        .unwrap_or(TimeDelta::MAX)
}

/// Counts of judged jobs by routing verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Jobs with the verdict `correct`.
    pub correct: u64,
    /// Jobs with the verdict `misroute` or `not-routed`.
    pub wrong: u64,
}

impl Tally {
    /// Adds a verdict. Attempts, draining jobs, mistakes and jobs that were not judged do not count.
    pub fn add(&mut self, verdict: RoutingVerdict) {
        let Self { correct, wrong } = Self::of(verdict);
        self.correct += correct;
        self.wrong += wrong;
    }

    /// Takes an earlier verdict back.
    pub fn take_back(&mut self, verdict: RoutingVerdict) {
        *self = self.since(Self::of(verdict));
    }

    /// Returns the counts since an earlier state.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            correct: self.correct.saturating_sub(earlier.correct),
            wrong: self.wrong.saturating_sub(earlier.wrong),
        }
    }

    /// Returns the sum of both counts.
    #[must_use]
    pub fn judged(self) -> u64 {
        self.correct + self.wrong
    }

    fn of(verdict: RoutingVerdict) -> Self {
        let counts = |counted: bool| u64::from(counted);
        Self {
            correct: counts(verdict == RoutingVerdict::Correct),
            wrong: counts(matches!(verdict, RoutingVerdict::Misroute | RoutingVerdict::NotRouted)),
        }
    }
}

/// A route mismatch beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    pub job: JobId,
    pub run: RunId,
    pub pull_request: Option<u64>,
    pub verdict: RoutingVerdict,
    /// The creation time of the run, by GitHub's clock.
    pub run_created_at: Option<DateTime<Utc>>,
    pub at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::{at, measured_job as job};

    fn run(id: u64, pull_request: u64, created: i64, jobs: &[MeasuredJob]) -> MeasuredRun {
        MeasuredRun {
            run: RunId(id),
            attempt: 1,
            pull_request,
            created_at: at(created),
            jobs: (0..).map(JobId).zip(jobs.iter().cloned()).collect(),
            tally_before: Tally::default(),
        }
    }

    fn seconds(run: &MeasuredRun, now: i64) -> Option<i64> {
        run.queue_wait(at(now), false).map(|wait| wait.num_seconds())
    }

    #[test]
    fn a_run_waits_as_long_as_the_pool_job_that_waits_longest() {
        use Lifecycle::{Cancelled, Denied, Running, Success, Waiting};
        let started = [job(Success, 100, Some(130)), job(Running, 110, Some(115))];
        assert_eq!(seconds(&run(1, 7, 100, &started), 900), Some(30));
        let waits = [started[0].clone(), job(Waiting, 120, None)];
        assert_eq!(seconds(&run(1, 7, 100, &waits), 140), Some(30));
        assert_eq!(seconds(&run(1, 7, 100, &waits), 190), Some(70), "the wait so far");
        let dropped = [job(Cancelled, 100, None), job(Denied, 100, None)];
        assert_eq!(seconds(&run(1, 7, 100, &dropped), 900), None);
        let hosted = MeasuredJob {
            verdict: RoutingVerdict::NotRouted,
            ..job(Lifecycle::Elsewhere, 100, Some(500))
        };
        assert_eq!(seconds(&run(1, 7, 100, &[hosted]), 900), None);
        let failed = MeasuredJob {
            ended_at: Some(at(400)),
            ..job(Lifecycle::BootFailed, 100, None)
        };
        assert_eq!(seconds(&run(1, 7, 100, &[failed]), 900), Some(300), "until it ended");
    }

    #[test]
    fn the_delivery_lag_is_left_out_on_request() {
        let mut late = job(Lifecycle::Success, 100, Some(250));
        late.parts.delivery_lag_ms = Some(140_500);
        let late = run(1, 7, 100, &[late]);
        let wait = |excluded| late.queue_wait(at(900), excluded).map(|wait| wait.num_milliseconds());
        assert_eq!((wait(false), wait(true)), (Some(150_000), Some(9_500)));
    }

    #[test]
    fn a_job_without_a_runner_can_change_until_it_ends_at_github() {
        use Lifecycle::{
            BootFailed, Cancelled, Denied, Elsewhere, Lost, RegistrationFailed, Running, Success, Waiting,
        };
        for (lifecycle, is_final, is_final_once_ended) in [
            (Waiting, false, false),
            (Running, false, false),
            (BootFailed, false, true),
            (RegistrationFailed, false, true),
            (Lost, false, true),
            (Denied, false, true),
            (Success, true, true),
            (Cancelled, true, true),
            (Elsewhere, true, true),
        ] {
            let mut job = job(lifecycle, 100, None);
            assert_eq!(job.is_final(), is_final, "{lifecycle:?}");
            job.ended_at = Some(at(200));
            assert_eq!(job.is_final(), is_final_once_ended, "{lifecycle:?}");
        }
    }

    #[test]
    fn a_job_that_started_before_its_creation_did_not_wait() {
        let forged = job(Lifecycle::Running, 100, Some(40));
        assert_eq!(seconds(&run(1, 7, 100, &[forged]), 900), Some(0));
    }

    /// A job that was reported as created at 100 and received at 150. GitHub shows another time of creation.
    fn reported(shown: Option<i64>) -> MeasuredJob {
        let live = LiveTimes {
            asked_at: at(300),
            exists: shown.is_some(),
            created_at: shown.map(at),
            started_at: None,
            ended_at: None,
        };
        let mut job = job(Lifecycle::Waiting, 100, None);
        job.parts.delivery_lag_ms = Some(50_000);
        job.live = Some(live);
        job
    }

    #[test]
    fn the_times_that_github_shows_replace_the_reported_ones() {
        for (shown, lag_ms) in [(120, 30_000), (100, 50_000), (90, 60_000), (200, 0)] {
            let corrected = reported(Some(shown)).corrected(at(400));
            assert_eq!(corrected.created_at, Some(at(shown)));
            assert_eq!(corrected.parts.delivery_lag_ms, Some(lag_ms), "{shown}");
        }
        let unasked = MeasuredJob {
            live: None,
            ..reported(None)
        };
        assert_eq!(unasked.clone().corrected(at(400)), unasked);
        assert_eq!(reported(Some(100)).confirmed_wait(false), TimeDelta::seconds(200));
        assert_eq!(unasked.confirmed_wait(false), TimeDelta::zero());
    }

    #[test]
    fn a_derived_job_replaces_neither_the_verdict_nor_a_newer_answer() {
        let known = MeasuredJob {
            verdict: RoutingVerdict::Misroute,
            ..reported(Some(120))
        };
        let mut derived = reported(Some(100));
        derived.lifecycle = Lifecycle::Running;
        for (asked, created) in [(299, 120), (301, 100)] {
            derived.live = derived.live.map(|live| LiveTimes {
                asked_at: at(asked),
                ..live
            });
            let updated = known.updated(&derived, at(400));
            assert_eq!(updated.created_at, Some(at(created)), "{asked}");
            assert_eq!(
                (updated.verdict, updated.lifecycle),
                (RoutingVerdict::Misroute, Lifecycle::Running)
            );
        }
    }

    #[test]
    fn a_job_that_github_does_not_know_has_not_waited() {
        let unknown = reported(None);
        assert_eq!(unknown.confirmed_wait(false), TimeDelta::zero());
        let corrected = unknown.corrected(at(400));
        assert_eq!(corrected.lifecycle, Lifecycle::Cancelled);
        assert_eq!(corrected.queue_wait(at(400), false), None);
    }

    #[test]
    fn the_worst_job_that_counts_decides_the_life_cycle_of_a_run() {
        use Lifecycle::{
            BootFailed, Cancelled, Denied, Elsewhere, Lost, RegistrationFailed, Running, Success, TearDownFailed,
            Waiting,
        };
        let cases: [(&[Lifecycle], Option<Lifecycle>); 8] = [
            (&[Success, Success], Some(Success)),
            (&[Success, Running, Waiting], Some(Waiting)),
            (&[Waiting, TearDownFailed], Some(TearDownFailed)),
            (&[TearDownFailed, Lost], Some(Lost)),
            (&[RegistrationFailed, Lost, BootFailed], Some(BootFailed)),
            (&[Cancelled, Success, Elsewhere], Some(Success)),
            (&[Cancelled, Denied, Elsewhere], None),
            (&[], None),
        ];
        for (of_jobs, expected) in cases {
            let jobs: Vec<MeasuredJob> = of_jobs.iter().map(|lifecycle| job(*lifecycle, 0, None)).collect();
            assert_eq!(run(1, 7, 0, &jobs).lifecycle(), expected, "{of_jobs:?}");
        }
    }

    #[test]
    fn a_pull_request_is_represented_by_its_first_run_that_counts() {
        let waits = |id, pull_request, created| run(id, pull_request, created, &[job(Lifecycle::Success, 0, Some(1))]);
        let cancelled = run(1, 7, 10, &[job(Lifecycle::Cancelled, 0, None)]);
        let second_attempt = MeasuredRun {
            attempt: 2,
            ..waits(2, 7, 20)
        };
        let runs = [
            waits(5, 7, 30),
            second_attempt,
            waits(4, 9, 25),
            waits(2, 7, 20),
            cancelled,
            waits(3, 8, 20),
        ];
        let first: Vec<_> = per_pull_request(&runs)
            .iter()
            .map(|run| (run.run.0, run.attempt))
            .collect();
        assert_eq!(first, [(4, 1), (3, 1), (2, 1)]);
    }

    #[test]
    fn only_verdicts_beyond_doubt_are_counted() {
        use RoutingVerdict::{Attempt, Correct, Drain, Misconfigured, Misroute, NotRouted, Unjudged};
        let mut tally = Tally::default();
        for verdict in [
            Correct,
            Correct,
            Misroute,
            NotRouted,
            Attempt,
            Drain,
            Misconfigured,
            Unjudged,
        ] {
            tally.add(verdict);
        }
        assert_eq!((tally.correct, tally.wrong, tally.judged()), (2, 2, 4));
        tally.take_back(NotRouted);
        tally.take_back(Drain);
        let earlier = Tally { correct: 1, wrong: 1 };
        assert_eq!(tally.since(earlier), Tally { correct: 1, wrong: 0 });
    }
}
