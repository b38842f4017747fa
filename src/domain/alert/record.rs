//! The stored form of an alert.

use super::inert::inert;
use super::key::{AlertKey, id_of};
use super::kind::{AlertKind, Severity};
use super::overdue::Escalation;
use crate::domain::ids::JobId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MAX_SUMMARY_CHARS: usize = 500;
/// The text for all authors if there are too many alerts to keep them apart.
const OTHERS: &str = "others";

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// No operator has acknowledged it.
    #[default]
    Open,
    /// An operator works on it.
    Acked,
    /// The alert is over.
    Resolved,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acked, Self::Resolved];

    /// Returns the name used in records and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acked => "acked",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert. Repeats increment `count` and create no second alert. All its texts are inert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The id used in commands and URLs: the beginning of the key's digest, in hexadecimal.
    pub id: String,
    pub key: String,
    pub kind: AlertKind,
    pub severity: Severity,
    /// The repository as `owner/name`, or `-`.
    pub repository: String,
    /// The routing verdict or another cause that distinguishes alerts of the same kind; out of a closed set, or `-`.
    pub verdict: String,
    /// One sentence for the operator.
    pub summary: String,
    pub state: AlertState,
    /// The number of times that the alert opened, starting with 1.
    pub episode: u32,
    /// The number of jobs in this episode; without a job, the number of times it was raised.
    pub count: u64,
    /// The latest job.
    pub job_id: Option<u64>,
    /// The latest jobs that it was raised for, so that no job counts twice.
    pub jobs: Vec<u64>,
    /// The jobs among them for which the cause has not ended, if that can be known.
    pub waiting: Vec<u64>,
    pub first_at: DateTime<Utc>,
    pub opened_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub acked_at: Option<DateTime<Utc>>,
    /// The name that the operator gave.
    pub acked_by: Option<String>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// The name that the operator gave, or [`super::ITSELF`].
    pub resolved_by: Option<String>,
    /// The escalations of this episode, oldest first.
    #[serde(default)]
    pub escalations: Vec<Escalation>,
    /// The episode before this one.
    #[serde(default)]
    pub earlier: Option<PastEpisode>,
    /// The number of changes.
    pub revision: u64,
    /// The revision of the latest change that is more than a repeat.
    pub news: u64,
    /// The delivery state of each sink.
    pub told: BTreeMap<String, Told>,
}

/// An episode that ended before the alert reopened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEpisode {
    pub episode: u32,
    pub opened_at: DateTime<Utc>,
    pub acked_at: Option<DateTime<Utc>>,
    pub acked_by: Option<String>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub resolved_by: Option<String>,
}

/// The delivery state of an alert for one sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// The newest accepted revision; 0 before the first.
    pub revision: u64,
    /// The time of this acceptance.
    pub at: Option<DateTime<Utc>>,
    /// The number of attempts since then.
    pub attempts: u32,
    /// The earliest time of the next attempt.
    pub next_at: Option<DateTime<Utc>>,
    /// The error of the last attempt.
    pub failure: Option<String>,
}

impl Alert {
    /// Returns an open alert. Repeats with the same key are one alert. `summary` can contain text by outsiders.
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
            escalations: Vec::new(),
            earlier: None,
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
