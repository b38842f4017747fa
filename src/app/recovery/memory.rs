//! The memory of recovery: open pull requests, runs that go on, and unfinished passes. A restart begins without it and
//! reads everything again.

use super::log_pass::LogPass;
use crate::domain::decision::Decision;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::pin::RepositoryIds;
use crate::domain::reason::Reason;
use crate::domain::trust::Trust;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Time after its latest trusted decision in which a pull request counts as open.
const OPEN_FOR: TimeDelta = TimeDelta::hours(2);
/// Age at which an unfinished pass over the delivery log is given up and begins again.
const MAX_PASS_AGE: TimeDelta = TimeDelta::minutes(30);
/// Maximum number of remembered pull requests. Only members have trusted ones.
const MAX_PULLS: usize = 1000;

/// The memory of one worker.
#[derive(Default)]
pub struct Recovery {
    memory: Mutex<Memory>,
    pub(super) woken: Notify,
}

/// A run that was not over at the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenRun {
    pub(super) of: RepositoryIds,
    pub(super) created_at: Option<DateTime<Utc>>,
}

/// A poll under way: the runs that it has not asked for.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) began: DateTime<Utc>,
    /// The number of lists that are read, in the order of `RunState::ALL`.
    pub(super) lists: usize,
    pub(super) runs: BTreeMap<RunId, OpenRun>,
}

/// A job that waits at GitHub and has no decision.
#[derive(Debug, Clone)]
pub(super) struct Undecided {
    pub(super) repository: RepositoryName,
    pub(super) queued_at: DateTime<Utc>,
    /// The first time that this process saw it.
    pub(super) seen_at: DateTime<Utc>,
}

pub(super) type RunKey = (RepositoryName, RunId);

#[derive(Default)]
pub(super) struct Memory {
    trusted: HashMap<(RepositoryName, u64), DateTime<Utc>>,
    log_pass: Option<LogPass>,
    pub(super) open_runs: BTreeMap<RunKey, OpenRun>,
    /// The unfinished poll of each repository.
    pub(super) listings: BTreeMap<RepositoryName, Listing>,
    pub(super) undecided: BTreeMap<JobId, Undecided>,
    /// The jobs that the alert was raised for.
    pub(super) overdue: BTreeMap<JobId, RepositoryName>,
}

impl Recovery {
    /// Notes the pull request of a decision: open while its jobs are trusted, until it is seen closed.
    pub(in crate::app) fn note(&self, decision: &Decision, now: DateTime<Utc>) {
        let Some(number) = decision.trust.pull_request else {
            return;
        };
        let key = (decision.repository.clone(), number);
        let mut memory = self.memory();
        if decision.reasons().contains(&&Reason::PullRequestClosed) {
            memory.trusted.remove(&key);
            return;
        }
        if decision.trust.verdict != Trust::Trusted {
            return;
        }
        memory.trusted.retain(|_, at| now - *at < OPEN_FOR);
        let was_idle = memory.trusted.is_empty();
        if memory.trusted.len() < MAX_PULLS || memory.trusted.contains_key(&key) {
            memory.trusted.insert(key, now);
        }
        drop(memory);
        if was_idle {
            self.woken.notify_one();
        }
    }

    /// Returns true if a trusted pull request is known to be open.
    pub(super) fn has_open_pull(&self, now: DateTime<Utc>) -> bool {
        self.memory().trusted.values().any(|at| now - *at < OPEN_FOR)
    }

    /// Takes the unfinished pass over the delivery log, if it is recent.
    pub(super) fn take_log_pass(&self, now: DateTime<Utc>) -> Option<LogPass> {
        let pass = self.memory().log_pass.take();
        pass.filter(|pass| now - pass.began < MAX_PASS_AGE)
    }

    /// Keeps an unfinished pass over the delivery log.
    pub(super) fn keep_log_pass(&self, pass: LogPass) {
        self.memory().log_pass = Some(pass);
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
