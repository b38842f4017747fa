//! An alert as it is stored.

use super::inert::inert;
use super::key::{AlertKey, id_of};
use super::kind::{AlertKind, Severity};
use crate::domain::ids::JobId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MAX_SUMMARY_CHARS: usize = 500;
/// Stands for every author when there are too many alerts to keep apart.
const OTHERS: &str = "others";

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has said they look at it.
    #[default]
    Open,
    /// Somebody looks at it.
    Acked,
    /// It is over.
    Resolved,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acked, Self::Resolved];

    /// The word used in records and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acked => "acked",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert as it is stored. Repeats raise `count`; they make no second alert. Every text in it is inert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Names it in commands and URLs: the beginning of its key's digest, in hexadecimal.
    pub id: String,
    /// The key that repeats share.
    pub key: String,
    /// What it is about.
    pub kind: AlertKind,
    /// How urgent it is.
    pub severity: Severity,
    /// The repository, `owner/name`, or `-`.
    pub repository: String,
    /// The routing verdict behind it, or what else tells it from others of its kind; out of a closed set, or `-`.
    pub verdict: String,
    /// One sentence for a person.
    pub summary: String,
    /// Where it stands.
    pub state: AlertState,
    /// How often it was open: 1, and one more each time it opens again.
    pub episode: u32,
    /// How many jobs it stands for in this episode; without a job, how often it was raised.
    pub count: u64,
    /// The latest job.
    pub job_id: Option<u64>,
    /// The latest jobs it was raised for, so that none counts twice.
    pub jobs: Vec<u64>,
    /// The jobs among them for which it is not over, where that can be known.
    pub waiting: Vec<u64>,
    /// When it was first raised.
    pub first_at: DateTime<Utc>,
    /// When this episode began.
    pub opened_at: DateTime<Utc>,
    /// When it was last raised.
    pub last_at: DateTime<Utc>,
    /// When somebody said they look at it.
    pub acked_at: Option<DateTime<Utc>>,
    /// Who that is.
    pub acked_by: Option<String>,
    /// When it was over.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who said so; [`super::ITSELF`] when nobody had to.
    pub resolved_by: Option<String>,
    /// Counts every change.
    pub revision: u64,
    /// The latest change that is more than a repeat.
    pub news: u64,
    /// Which sink knows what.
    pub told: BTreeMap<String, Told>,
}

/// What a sink knows of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// The newest revision it took; 0 before the first.
    pub revision: u64,
    /// When it took that.
    pub at: Option<DateTime<Utc>>,
    /// Tries since then.
    pub attempts: u32,
    /// Not to be tried before.
    pub next_at: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub failure: Option<String>,
}

impl Alert {
    /// Returns an open alert. Repeats with the same key are one alert. `summary` may hold text that outsiders wrote.
    #[must_use]
    pub fn new(key: &AlertKey, job: Option<JobId>, summary: &str, now: DateTime<Utc>) -> Self {
        let jobs: Vec<u64> = job.into_iter().map(|job| job.0).collect();
        Self {
            id: key.id(),
            key: key.to_string(),
            kind: key.kind,
            severity: key.kind.severity(),
            repository: key.repository().to_owned(),
            verdict: key.cause().to_owned(),
            summary: inert(summary, MAX_SUMMARY_CHARS),
            state: AlertState::Open,
            episode: 1,
            count: 1,
            job_id: job.map(|job| job.0),
            waiting: if key.kind.lasts() { jobs.clone() } else { Vec::new() },
            jobs,
            first_at: now,
            opened_at: now,
            last_at: now,
            acked_at: None,
            acked_by: None,
            resolved_at: None,
            resolved_by: None,
            revision: 1,
            news: 1,
            told: BTreeMap::new(),
        }
    }

    /// Returns the same alert for all authors, for use when there are too many alerts to keep apart.
    #[must_use]
    pub fn of_others(mut self) -> Self {
        self.key = format!("{}/{}/{OTHERS}", self.repository, self.kind.as_str());
        self.id = id_of(&self.key);
        self
    }
}
