//! The list of runners and waiting jobs in the ledger, for people and programs.
//!
//! `jitgate runner list --json` and `/api/v1/runners` show this value. It contains no secret, because the configuration
//! of a runner is never stored.

use crate::app::records::{self, PastRunner, PoolRecord, RunnerRecord, WaitingRecord};
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::proof::ProvenStep;
use crate::domain::runner::RunnerState;
use crate::domain::slot::{KeptDisk, SlotSize};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// Default number of runners in one answer.
pub const DEFAULT_LIMIT: usize = 50;
/// Number of past runners in one read.
const PAGE: usize = 500;

/// A filter of runners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunnerFilter {
    /// The states; empty for all. Waiting jobs have none of them.
    pub states: Vec<RunnerState>,
    pub repository: Option<String>,
    /// Includes past runners.
    pub all: bool,
    /// Maximum number of runners (newest first) and of waiting jobs (oldest first).
    pub limit: usize,
}

/// Runners and waiting jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunnerList {
    /// The runners, most recently changed first.
    pub runners: Vec<ListedRunner>,
    /// The waiting jobs in the order of their arrival.
    pub waiting: Vec<ListedJob>,
    /// The disks of failed slots that are kept for inspection, as the last pass of each worker saw them, in the order of their
    /// removal.
    pub kept_disks: Vec<KeptDisk>,
}

/// A runner in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedRunner {
    #[serde(flatten)]
    pub runner: RunnerRecord,
    /// The time of its current state.
    pub since: Option<DateTime<Utc>>,
    /// The steps of its life, with their times or the reasons why they are missing.
    pub proof: Vec<ProvenStep>,
}

/// A waiting job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedJob {
    pub job: JobId,
    pub repository: RepositoryName,
    /// The size that it requests.
    pub size: SlotSize,
    /// The start of the wait.
    pub since: DateTime<Utc>,
    /// The earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being created for it.
    pub holder: Option<String>,
}

impl RunnerFilter {
    fn matches(&self, runner: &RunnerRecord) -> bool {
        (self.states.is_empty() || self.states.contains(&runner.state)) && self.is_of_the_repository(&runner.repository)
    }

    fn is_of_the_repository(&self, repository: &RepositoryName) -> bool {
        self.repository
            .as_deref()
            .is_none_or(|filter| repository.matches(filter))
    }
}

/// Returns runners and waiting jobs.
///
/// # Errors
/// The failure of the ledger.
pub async fn list_runners(ledger: &dyn Ledger, filter: &RunnerFilter) -> Result<RunnerList, Failure> {
    let mut runners: Vec<RunnerRecord> = records::all(ledger).await?;
    runners.retain(|runner| filter.matches(runner));
    if filter.all || filter.states.contains(&RunnerState::Destroyed) {
        let mut after: Option<String> = None;
        loop {
            let (page, next) = records::page::<PastRunner>(ledger, after.as_deref(), PAGE).await?;
            for past in page {
                let PastRunner(runner) = past?;
                if filter.matches(&runner) {
                    runners.push(runner);
                }
            }
            // At most two pages of past runners are in memory.
            keep_newest(&mut runners, filter.limit);
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    keep_newest(&mut runners, filter.limit);
    let mut waiting = Vec::new();
    if filter.states.is_empty() {
        let waiting_jobs: Vec<WaitingRecord> = records::all(ledger).await?;
        let waiting_jobs = waiting_jobs
            .into_iter()
            .filter(|waiting| filter.is_of_the_repository(&waiting.repository));
        waiting.extend(waiting_jobs.map(ListedJob::from));
        waiting.sort_by_key(|waiting| (waiting.since, waiting.job));
        waiting.truncate(filter.limit);
    }
    let kept_disks = if filter.states.is_empty() {
        kept_disks(ledger, filter.limit).await?
    } else {
        Vec::new()
    };
    Ok(RunnerList {
        kept_disks,
        runners: runners.into_iter().map(ListedRunner::from).collect(),
        waiting,
    })
}

async fn kept_disks(ledger: &dyn Ledger, limit: usize) -> Result<Vec<KeptDisk>, Failure> {
    let workers: Vec<PoolRecord> = records::all(ledger).await?;
    let mut kept: Vec<KeptDisk> = workers.into_iter().flat_map(|worker| worker.kept_disks).collect();
    kept.sort_by(|one, other| (one.until, &one.slot).cmp(&(other.until, &other.slot)));
    kept.truncate(limit);
    Ok(kept)
}

fn keep_newest(runners: &mut Vec<RunnerRecord>, limit: usize) {
    runners.sort_by(|one, other| {
        let newest_first = Reverse(one.since()).cmp(&Reverse(other.since()));
        newest_first.then_with(|| one.name.cmp(&other.name))
    });
    runners.truncate(limit);
}

impl From<RunnerRecord> for ListedRunner {
    fn from(runner: RunnerRecord) -> Self {
        Self {
            since: runner.since(),
            proof: runner.proof(),
            runner,
        }
    }
}

impl From<WaitingRecord> for ListedJob {
    fn from(waiting: WaitingRecord) -> Self {
        Self {
            job: waiting.event.job.id,
            repository: waiting.repository,
            size: waiting.size,
            since: waiting.since,
            not_before: waiting.not_before,
            holder: waiting.holder.map(|holder| holder.runner),
        }
    }
}
