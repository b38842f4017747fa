//! The life of jobs and runners: assignment, settling, cancelling, re-running.
//!
//! ```text
//!  queued ──assign──> in_progress ──settle──> completed
//!    │  (any idle online runner        │  success: the runner stayed for the duration of the job
//!    │   that has all its labels)      │  failure: the runner was lost; no step ran
//!    └──settle, run cancelled──────────┴──> completed, cancelled
//! ```
//!
//! Steps run only when the world settles, so that jitgate can prevent them by destroying the runner in time. On a runner
//! with a job gate, they run only after the gate is open.

use super::simulation::Simulation;
use super::state::{Job, JobRunner, Repository, Run, Runner, Scope, State};
use super::world::{Conclusion, RunnerStatus, Status};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// GitHub fails a job that has found no runner for this time.
const MAX_QUEUED_TIME: TimeDelta = TimeDelta::hours(24);
/// The steps of a job without steps in the fixture.
const STEPS: [&str; 4] = ["Set up job", "Check out", "Run tests", "Complete job"];

/// The reason why a run cannot be cancelled or re-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunRefusal {
    /// The run does not exist.
    Gone,
    /// The run is completed, or not completed yet.
    WrongState,
}

impl Simulation {
    /// Assigns queued jobs to idle runners, the oldest job first.
    pub(super) fn assign(&mut self) {
        let mut queued: Vec<(DateTime<Utc>, u64)> = (self.state.jobs.values())
            .filter(|job| job.status == Status::Queued && self.state.is_current(job))
            .map(|job| (job.created_at, job.id))
            .collect();
        queued.sort_unstable();
        for (_, id) in queued {
            let idle = self
                .state
                .runners
                .values()
                .find(|runner| self.state.could_take(runner, id))
                .map(|runner| runner.id);
            if let Some(runner) = idle {
                self.start(id, runner);
            }
        }
    }

    fn start(&mut self, job: u64, runner: u64) {
        let now = self.state.now();
        if let (Some(job), Some(runner)) = (self.state.jobs.get_mut(&job), self.state.runners.get_mut(&runner)) {
            runner.job = Some(job.id);
            job.runner = Some(JobRunner {
                id: runner.id,
                name: runner.name.clone(),
                jit: runner.jit,
            });
            job.status = Status::InProgress;
            job.started_at = Some(now);
        }
        self.announce(job, Status::InProgress);
    }

    /// Connects a runner. Returns the job it was given, or none if the runner does not exist.
    pub(super) fn come_online(&mut self, runner: u64, gated: bool, looks: bool) -> Option<Option<u64>> {
        let now = self.state.now();
        let connecting = self.state.runners.get_mut(&runner)?;
        connecting.status = RunnerStatus::Online;
        connecting.gated = gated;
        connecting.seen_at = looks.then_some(now);
        self.assign();
        Some(self.state.runners.get(&runner).and_then(|runner| runner.job))
    }

    /// Applies everything that is due. Returns the number of changed jobs.
    pub(super) fn settle(&mut self) -> usize {
        let now = self.state.now();
        for runner in self.state.runners.values_mut() {
            if runner.seen_at.is_some_and(|at| now - at > self.state.report_timeout) {
                runner.status = RunnerStatus::Offline;
            }
        }
        let ended: Vec<(u64, Conclusion)> = self
            .state
            .jobs
            .values()
            .filter_map(|job| Some((job.id, self.state.due(job, now)?)))
            .collect();
        for (job, conclusion) in &ended {
            self.end(*job, *conclusion, now);
        }
        let before = self.state.count(Status::InProgress);
        self.assign();
        ended.len() + self.state.count(Status::InProgress) - before
    }

    fn end(&mut self, id: u64, conclusion: Conclusion, now: DateTime<Utc>) {
        let Some(job) = self.state.jobs.get_mut(&id) else {
            return;
        };
        let runner = job
            .runner
            .as_ref()
            .and_then(|runner| self.state.runners.get_mut(&runner.id));
        let online = runner.as_ref().is_some_and(|runner| runner.is_online());
        if online && job.status == Status::InProgress && conclusion != Conclusion::Cancelled {
            job.steps = STEPS.map(str::to_owned).to_vec();
            self.state.ran += u64::from(job.runner.as_ref().is_some_and(|runner| runner.jit));
        }
        if let Some(runner) = runner {
            runner.job = None;
            // The record of an ephemeral runner is removed with it; the record of a killed runner stays.
            if runner.jit && online {
                let gone = runner.id;
                self.state.runners.remove(&gone);
            }
        }
        job.status = Status::Completed;
        job.conclusion = Some(conclusion);
        job.completed_at = Some(now);
        self.announce(id, Status::Completed);
    }

    /// Re-runs a run, with new job ids and a higher attempt. With `failed_only` the other jobs keep their result, and
    /// GitHub sends their deliveries again.
    pub(super) fn rerun(&mut self, repository: u64, id: u64, by: &str, failed_only: bool) -> Result<(), RunRefusal> {
        let now = self.state.now();
        let run = self.state.run(repository, id).ok_or(RunRefusal::Gone)?;
        if self.state.run_status(run) != Status::Completed {
            return Err(RunRefusal::WrongState);
        }
        let jobs: Vec<Job> = self.state.jobs_of(id, run.attempt).cloned().collect();
        let attempt = run.attempt + 1;
        self.state.reruns.push(id);
        self.state.mention(by, None);
        let routed = self.state.routed_labels(id);
        if let Some(run) = self.state.runs.get_mut(&id) {
            run.attempt = attempt;
            run.cancel_requested = false;
            run.triggering_actors.insert(attempt, by.to_owned());
        }
        for job in jobs {
            let failed = !matches!(job.conclusion, Some(Conclusion::Success | Conclusion::Skipped));
            if failed_only && !failed {
                self.announce(job.id, Status::Completed);
                continue;
            }
            let id = self.state.new_job_id();
            let fresh = Job {
                id,
                attempt,
                labels: if job.routed { routed.clone() } else { job.labels },
                status: Status::Queued,
                conclusion: None,
                created_at: now,
                started_at: None,
                completed_at: None,
                runner: None,
                steps: Vec::new(),
                ..job
            };
            self.state.jobs.insert(id, fresh);
            self.announce(id, Status::Queued);
        }
        self.assign();
        Ok(())
    }
}

impl State {
    /// Returns true if a job can still run: its run exists and was neither cancelled nor re-run.
    fn is_current(&self, job: &Job) -> bool {
        let run = self.runs.get(&job.run);
        !job.deleted && run.is_some_and(|run| !run.deleted && !run.cancel_requested && run.attempt == job.attempt)
    }

    fn could_take(&self, runner: &Runner, job: u64) -> bool {
        let Some(job) = self.jobs.get(&job) else { return false };
        let repository = self.runs.get(&job.run).and_then(|run| self.repository(run.repository));
        let in_scope = |r: &Repository| match &runner.scope {
            Scope::Repository(id) => r.id == *id,
            Scope::Organization(login) => {
                let group = self.groups.get(&(login.clone(), runner.group));
                r.name.owner().eq_ignore_ascii_case(login) && group.is_none_or(|group| group.serves(r.id, r.private))
            }
        };
        runner.is_online() && !runner.is_busy() && repository.is_some_and(in_scope) && runner.matches(&job.labels)
    }

    /// Returns the values that the hook of a runner's job would report.
    pub(super) fn look_at(&mut self, runner: u64) -> Option<Value> {
        let now = self.now();
        let looking = self.runners.get_mut(&runner)?;
        looking.seen_at = looking.seen_at.map(|_| now);
        let job = self.runners.get(&runner)?.job.and_then(|job| self.jobs.get(&job));
        let run = job.and_then(|job| self.runs.get(&job.run));
        let repository = run.and_then(|run| self.repository(run.repository));
        Some(json!({
            "job": job.map(|job| job.id),
            "run": run.map(|run| run.id),
            "attempt": run.map(|run| run.attempt),
            "repository": repository.map(|repository| repository.name.to_string()),
        }))
    }

    /// Opens the job gate of a runner, so that its job continues.
    pub(super) fn open_gate(&mut self, runner: u64) -> Option<()> {
        self.runners.get_mut(&runner)?.gated = false;
        Some(())
    }

    /// Disconnects a runner. Its job does not change before the world settles.
    pub(super) fn go_offline(&mut self, runner: u64) -> Option<()> {
        self.runners.get_mut(&runner)?.status = RunnerStatus::Offline;
        Some(())
    }

    fn count(&self, status: Status) -> usize {
        self.jobs.values().filter(|job| job.status == status).count()
    }

    /// Returns the conclusion of a job that ends now; none if it does not end.
    fn due(&self, job: &Job, now: DateTime<Utc>) -> Option<Conclusion> {
        if job.status == Status::Completed || job.deleted {
            return None;
        }
        let cancelled = self.runs.get(&job.run).is_some_and(|run| run.cancel_requested);
        if cancelled {
            return Some(Conclusion::Cancelled);
        }
        match job.status {
            Status::InProgress => {
                // A runner without a record belongs to another system, which reports its result.
                let runner = job.runner.as_ref()?;
                let record = self.runners.get(&runner.id);
                if record.is_some_and(|r| !r.is_online()) || (record.is_none() && runner.jit) {
                    return Some(Conclusion::Failure);
                }
                if record.is_some_and(|r| r.gated) {
                    return None;
                }
                let over = now - job.started_at? >= TimeDelta::seconds(job.duration_s.into());
                (record.is_some() && over).then(|| job.conclusion.unwrap_or(Conclusion::Success))
            }
            Status::Queued => (now - job.created_at >= MAX_QUEUED_TIME).then_some(Conclusion::Failure),
            Status::Waiting | Status::Completed => None,
        }
    }

    /// Requests the cancellation of a run; it takes effect when the world settles.
    pub(super) fn cancel(&mut self, repository: u64, run: u64) -> Result<(), RunRefusal> {
        if self.run_status(self.run(repository, run).ok_or(RunRefusal::Gone)?) == Status::Completed {
            return Err(RunRefusal::WrongState);
        }
        if let Some(run) = self.runs.get_mut(&run) {
            run.cancel_requested = true;
        }
        Ok(())
    }

    /// Returns an existing run of this repository.
    pub(super) fn run(&self, repository: u64, id: u64) -> Option<&Run> {
        self.runs
            .get(&id)
            .filter(|run| run.repository == repository && !run.deleted)
    }

    /// Returns the status of a run, which follows from the jobs of its current attempt.
    pub(super) fn run_status(&self, run: &Run) -> Status {
        let mut jobs = self.jobs_of(run.id, run.attempt).map(|job| job.status).peekable();
        if jobs.peek().is_none() {
            return if run.cancel_requested {
                Status::Completed
            } else {
                Status::Queued
            };
        }
        let all: Vec<Status> = jobs.collect();
        match () {
            () if all.iter().all(|status| *status == Status::Completed) => Status::Completed,
            () if all
                .iter()
                .any(|status| matches!(status, Status::InProgress | Status::Completed)) =>
            {
                Status::InProgress
            }
            () if all.contains(&Status::Queued) => Status::Queued,
            () => Status::Waiting,
        }
    }
}
