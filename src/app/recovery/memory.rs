//! The memory of recovery: the latest trusted decision, runs that go on, and unfinished passes. A restart begins without
//! it and reads everything again. What outsiders can add to it is bounded.

use super::log_pass::LogPass;
use crate::domain::decision::Decision;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::pin::RepositoryIds;
use crate::domain::recovery::poll::{Candidate, Overdraft};
use crate::domain::trust::Trust;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Time after its latest trusted decision in which a pull request counts as open.
const OPEN_FOR: TimeDelta = TimeDelta::hours(2);
/// Age at which an unfinished pass over the delivery log is given up and begins again.
const MAX_PASS_AGE: TimeDelta = TimeDelta::minutes(30);
/// Maximum number of remembered runs that cannot be trusted and have left GitHub's lists.
const MAX_OUTSIDERS_RUNS: usize = 300;
/// Maximum number of remembered jobs without a decision.
const MAX_UNDECIDED: usize = 1000;

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
    pub(super) can_be_trusted: bool,
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
    open_until: Option<DateTime<Utc>>,
    log_pass: Option<LogPass>,
    pub(super) open_runs: BTreeMap<RunKey, OpenRun>,
    /// The latest questions about runs that cannot be trusted. They are listed or open.
    asked: BTreeMap<RunKey, DateTime<Utc>>,
    pub(super) overdraft: Overdraft,
    /// The unfinished poll of each repository.
    pub(super) listings: BTreeMap<RepositoryName, Listing>,
    pub(super) undecided: BTreeMap<JobId, Undecided>,
    /// The jobs that the alert was raised for.
    pub(super) overdue: BTreeMap<JobId, RepositoryName>,
}

impl Recovery {
    /// Notes a decision. The pull request of a trusted job counts as open for a while.
    pub(in crate::app) fn note(&self, decision: &Decision, now: DateTime<Utc>) {
        if decision.trust.verdict != Trust::Trusted || decision.trust.pull_request.is_none() {
            return;
        }
        let before = self.memory().open_until.replace(now + OPEN_FOR);
        if before.is_none_or(|before| before <= now) {
            self.woken.notify_one();
        }
    }

    /// Returns the time until which a trusted pull request counts as open, as far as this worker knows.
    pub(super) fn open_until(&self) -> Option<DateTime<Utc>> {
        self.memory().open_until
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

    /// Returns a run as a poll chooses it.
    pub(super) fn candidate(&self, key: RunKey, about: &OpenRun) -> Candidate<RunKey> {
        Candidate {
            created_at: about.created_at,
            can_be_trusted: about.can_be_trusted,
            asked_at: self.memory().asked.get(&key).copied(),
            key,
        }
    }

    /// Notes a question about a run that cannot be trusted.
    pub(super) fn note_question(&self, key: RunKey, now: DateTime<Utc>) {
        self.memory().asked.insert(key, now);
    }

    /// Forgets the questions about runs of a repository that are neither listed nor open.
    pub(super) fn forget_questions(&self, repository: &RepositoryName, listed: &BTreeMap<RunId, OpenRun>) {
        let memory = &mut *self.memory();
        let open = &memory.open_runs;
        memory
            .asked
            .retain(|key, _| key.0 != *repository || listed.contains_key(&key.1) || open.contains_key(key));
    }

    /// Remembers a run that goes on, so that its end is found after it has left GitHub's lists.
    pub(super) fn remember(&self, key: RunKey, about: OpenRun) {
        let memory = &mut *self.memory();
        memory.open_runs.insert(key, about);
        let outsiders = memory.open_runs.iter().filter(|(_, about)| !about.can_be_trusted);
        if outsiders.clone().count() > MAX_OUTSIDERS_RUNS {
            let oldest = outsiders
                .min_by_key(|(key, _)| memory.asked.get(key))
                .map(|(key, _)| key.clone());
            oldest.map(|key| memory.open_runs.remove(&key));
        }
    }

    /// Notes a job without a decision, once.
    pub(super) fn note_undecided(&self, job: JobId, seen: Undecided) {
        let mut memory = self.memory();
        if memory.undecided.len() < MAX_UNDECIDED {
            memory.undecided.entry(job).or_insert(seen);
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    fn key(run: u64) -> RunKey {
        (
            RepositoryName::parse("octo-org/chem-model").expect("a name"),
            RunId(run),
        )
    }

    fn run(can_be_trusted: bool) -> OpenRun {
        OpenRun {
            of: RepositoryIds::default(),
            created_at: None,
            can_be_trusted,
        }
    }

    #[test]
    fn outsiders_runs_are_forgotten_the_longest_ago_first_and_members_runs_are_kept() {
        let recovery = Recovery::default();
        for member in 0..5 {
            recovery.remember(key(member), run(true));
        }
        for (second, outsider) in (0..).zip(1000..).take(MAX_OUTSIDERS_RUNS + 2) {
            let asked = if outsider == 1001 { 9999 } else { second };
            recovery.note_question(key(outsider), at(asked));
            recovery.remember(key(outsider), run(false));
        }
        let memory = recovery.memory();
        let is_kept = |run| memory.open_runs.contains_key(&key(run));
        assert_eq!(memory.open_runs.len(), 5 + MAX_OUTSIDERS_RUNS);
        assert!(is_kept(0) && is_kept(1001) && !is_kept(1000) && !is_kept(1002));
    }

    #[test]
    fn questions_about_runs_that_are_neither_listed_nor_open_are_forgotten() {
        let recovery = Recovery::default();
        for run in 1..4 {
            recovery.note_question(key(run), at(0));
        }
        recovery.remember(key(1), run(false));
        let listed = BTreeMap::from([(RunId(2), run(false))]);
        recovery.forget_questions(
            &RepositoryName::parse("octo-org/other").expect("a name"),
            &BTreeMap::new(),
        );
        assert_eq!(recovery.memory().asked.len(), 3);
        recovery.forget_questions(&key(1).0, &listed);
        assert_eq!(
            recovery.memory().asked.keys().map(|key| key.1.0).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn the_memory_of_jobs_without_a_decision_is_bounded() {
        let recovery = Recovery::default();
        for job in (0..).take(MAX_UNDECIDED + 5) {
            let seen = Undecided {
                repository: key(1).0,
                queued_at: at(0),
                seen_at: at(0),
            };
            recovery.note_undecided(JobId(job), seen);
        }
        assert_eq!(recovery.memory().undecided.len(), MAX_UNDECIDED);
    }
}
