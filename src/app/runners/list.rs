//! The list of runners and waiting jobs in the ledger, for people and programs.
//!
//! `jitgate runner list --json` and `/api/v1/runners` show this value. It contains no secret, because the configuration
//! of a runner is never stored.

use crate::app::records::{self, PastRunner, RunnerRecord, Want};
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::runner::RunnerState;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// Default number of runners in one answer.
pub const LISTED: usize = 50;
/// Number of past runners in one read.
const PAGE: usize = 500;

/// A filter of runners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
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
pub struct Roster {
    /// The runners, most recently changed first.
    pub runners: Vec<Listed>,
    /// The waiting jobs in the order of their arrival.
    pub waiting: Vec<Waiting>,
}

/// A runner in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub runner: RunnerRecord,
    /// The time of its current state.
    pub since: Option<DateTime<Utc>>,
}

/// A waiting job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub job: JobId,
    pub repository: RepositoryName,
    /// The start of the wait.
    pub since: DateTime<Utc>,
    /// The earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being created for it.
    pub holder: Option<String>,
}

impl Asked {
    fn means(&self, runner: &RunnerRecord) -> bool {
        (self.states.is_empty() || self.states.contains(&runner.state)) && self.is_of_the_repository(&runner.repository)
    }

    fn is_of_the_repository(&self, repository: &RepositoryName) -> bool {
        self.repository.as_deref().is_none_or(|asked| repository.matches(asked))
    }
}

/// Returns runners and waiting jobs.
///
/// # Errors
/// The failure of the ledger.
pub async fn call(ledger: &dyn Ledger, asked: &Asked) -> Result<Roster, Failure> {
    let mut runners: Vec<RunnerRecord> = records::all(ledger).await?;
    runners.retain(|runner| asked.means(runner));
    if asked.all || asked.states.contains(&RunnerState::Destroyed) {
        let mut after: Option<String> = None;
        loop {
            let (page, next) = records::page::<PastRunner>(ledger, after.as_deref(), PAGE).await?;
            for past in page {
                let PastRunner(runner) = past?;
                if asked.means(&runner) {
                    runners.push(runner);
                }
            }
            // At most two pages of past runners are in memory.
            keep_newest(&mut runners, asked.limit);
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    keep_newest(&mut runners, asked.limit);
    let mut waiting = Vec::new();
    if asked.states.is_empty() {
        let wants: Vec<Want> = records::all(ledger).await?;
        let wants = wants
            .into_iter()
            .filter(|want| asked.is_of_the_repository(&want.repository));
        waiting.extend(wants.map(Waiting::from));
        waiting.sort_by_key(|waiting| (waiting.since, waiting.job));
        waiting.truncate(asked.limit);
    }
    Ok(Roster {
        runners: runners.into_iter().map(Listed::from).collect(),
        waiting,
    })
}

fn keep_newest(runners: &mut Vec<RunnerRecord>, limit: usize) {
    runners.sort_by(|one, other| {
        let newest_first = Reverse(one.since()).cmp(&Reverse(other.since()));
        newest_first.then_with(|| one.name.cmp(&other.name))
    });
    runners.truncate(limit);
}

impl From<RunnerRecord> for Listed {
    fn from(runner: RunnerRecord) -> Self {
        Self {
            since: runner.since(),
            runner,
        }
    }
}

impl From<Want> for Waiting {
    fn from(want: Want) -> Self {
        Self {
            job: want.event.job.id,
            repository: want.repository,
            since: want.since,
            not_before: want.not_before,
            holder: want.holder.map(|holder| holder.runner),
        }
    }
}
