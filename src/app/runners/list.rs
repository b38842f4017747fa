//! Which runners there are, or were, and which jobs wait for one: as the ledger knows it, for people and programs.
//!
//! `jitgate runner list --json` and `/api/v1/runners` give this very value. No secret is in it: a runner's configuration
//! is never stored.

use crate::app::records::{self, PastRunner, RunnerRecord, Want};
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::runner::RunnerState;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// Runners in one answer, unless another number is asked for.
pub const LISTED: usize = 50;
/// Past runners that are read at once; there may be many.
const PAGE: usize = 500;

/// Which runners are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// In one of these states; any without one. Jobs that wait are in none of them.
    pub states: Vec<RunnerState>,
    /// Of this repository.
    pub repository: Option<String>,
    /// Also those of which nothing is left.
    pub all: bool,
    /// The newest ones, at most so many; and the first of the jobs that wait.
    pub limit: usize,
}

/// Runners and jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roster {
    /// Runners, the one that changed last first.
    pub runners: Vec<Listed>,
    /// Jobs that were admitted and did not begin, in the order they came.
    pub waiting: Vec<Waiting>,
}

/// A runner in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The runner.
    #[serde(flatten)]
    pub runner: RunnerRecord,
    /// Since when it is in its state.
    pub since: Option<DateTime<Utc>>,
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The job.
    pub job: JobId,
    /// Its repository.
    pub repository: RepositoryName,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// Before then it is left alone.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being made for it.
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

/// Lists runners and the jobs that wait.
///
/// # Errors
/// The ledger's failure.
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
            // However many there were, no more than two pages of them are held.
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
