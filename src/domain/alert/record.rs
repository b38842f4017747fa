//! An alert as it is stored, and what makes one.

use super::inert::inert;
use super::kind::{AlertKind, Severity};
use super::telling::Told;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::decision::Decision;
use crate::domain::ids::{JobId, RepositoryName};
use crate::domain::reason::{self, Reason};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest summary, in characters.
const LONGEST_SUMMARY: usize = 500;
/// Longest name in a summary or key, in characters.
pub(super) const LONGEST_NAME: usize = 100;
/// Bytes of the digest that an id is.
const ID_BYTES: usize = 8;
/// Stands where there is nothing to tell.
pub(super) const NOTHING: &str = "-";
/// The one who is meant when there are too many to tell apart.
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

/// A word that is no state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give one of open, acked, resolved")]
pub struct BadState;

impl AlertState {
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

impl std::str::FromStr for AlertState {
    type Err = BadState;
    fn from_str(word: &str) -> Result<Self, BadState> {
        let all = [Self::Open, Self::Acked, Self::Resolved];
        all.into_iter().find(|state| state.as_str() == word).ok_or(BadState)
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

impl Alert {
    /// The alert of one kind that a decision raises. Repeats fold by repository, kind, verdict and the person behind; those
    /// of a state by repository and kind, since whoever ends it need not know more.
    #[must_use]
    pub fn of(kind: AlertKind, decision: &Decision) -> Self {
        let verdict = decision.routing.verdict.as_str();
        let who = decision.author.as_deref().map(|who| inert(who, LONGEST_NAME));
        let apart = if kind.lasts() {
            NOTHING.to_owned()
        } else {
            format!("{verdict}/{}", who.as_deref().unwrap_or(NOTHING))
        };
        let repository = Some(&decision.repository);
        let key = key(kind, repository, &apart);
        let summary = summary(kind, decision, who.as_deref());
        Self::new(
            kind,
            repository,
            verdict,
            key,
            Some(decision.job.id),
            &summary,
            decision.decided_at,
        )
    }

    /// An alert without a decision behind it. Repeats fold by repository, kind and `apart`, which says what tells it from
    /// others of its kind, out of a closed set; `-` if nothing does. `summary` may hold what outsiders wrote.
    #[must_use]
    pub fn about(
        kind: AlertKind,
        repository: Option<&RepositoryName>,
        apart: &str,
        job: Option<JobId>,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Self {
        Self::new(kind, repository, apart, key(kind, repository, apart), job, summary, now)
    }

    fn new(
        kind: AlertKind,
        repository: Option<&RepositoryName>,
        verdict: &str,
        key: String,
        job: Option<JobId>,
        summary: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let jobs: Vec<u64> = job.into_iter().map(|job| job.0).collect();
        Self {
            id: id_of(&key),
            key,
            kind,
            severity: kind.severity(),
            repository: repository.map_or_else(|| NOTHING.to_owned(), ToString::to_string),
            verdict: inert(verdict, LONGEST_NAME),
            summary: inert(summary, LONGEST_SUMMARY),
            state: AlertState::Open,
            episode: 1,
            count: 1,
            job_id: job.map(|job| job.0),
            waiting: if kind.lasts() { jobs.clone() } else { Vec::new() },
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

    /// The id of the alert that [`Alert::about`] makes of the same.
    #[must_use]
    pub fn id_about(kind: AlertKind, repository: Option<&RepositoryName>, apart: &str) -> String {
        id_of(&key(kind, repository, apart))
    }

    /// The same alert for everybody it could be about, for when there are too many to tell apart.
    #[must_use]
    pub fn of_others(mut self) -> Self {
        self.key = format!("{}/{}/{OTHERS}", self.repository, self.kind.as_str());
        self.id = id_of(&self.key);
        self
    }
}

fn key(kind: AlertKind, repository: Option<&RepositoryName>, apart: &str) -> String {
    let repository = repository.map_or(NOTHING, RepositoryName::as_str);
    let apart = inert(apart, 2 * LONGEST_NAME);
    format!("{repository}/{}/{apart}", kind.as_str())
}

fn id_of(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    hex::encode(digest.get(..ID_BYTES).unwrap_or_default())
}

fn summary(kind: AlertKind, decision: &Decision, who: Option<&str>) -> String {
    // A name must not end its own quotation.
    let name = inert(&decision.job.name, LONGEST_NAME).replace('"', "'");
    let mut job = format!("job {} \"{name}\"", decision.job.id);
    if let Some(pull) = decision.trust.pull_request {
        job.push_str(&format!(" of pull request {pull}"));
    }
    if let Some(who) = who {
        job.push_str(&format!(" by {who}"));
    }
    let reasons = reason::join(&decision.trust.reasons);
    match kind {
        AlertKind::UntrustedOnSelfHosted => {
            format!("{job} is not trusted ({reasons}) and asked for a self-hosted runner")
        }
        AlertKind::TrustedNotRouted => format!("{job} is trusted and was not routed to self-hosted runners"),
        AlertKind::StolenRunner => format!("{job} took a runner that was not made for it"),
        AlertKind::MisconfiguredLabels => format!("{job} has labels that no runner here is meant to serve"),
        AlertKind::TrustUndecided if decision.trust.reasons == [Reason::OverBudget] => {
            format!(
                "{job} is not judged yet: the person or the fork behind it has used up its budget of calls to GitHub"
            )
        }
        AlertKind::TrustUndecided => format!("GitHub leaves the trust of {job} undecided ({reasons})"),
        AlertKind::JobStuck => {
            let reasons = reason::join(&decision.admission.reasons);
            let what = match decision.admission.verdict {
                AdmissionVerdict::Hold => "GitHub leaves open whether it may have one",
                _ => "is refused one",
            };
            format!("{job} waits for a runner, and {what} ({reasons})")
        }
        AlertKind::RunnerBootFailure => format!("no runner came up for {job}"),
        AlertKind::RepositoryChanged => {
            format!("{job} is of another repository than the one that is pinned under this name")
        }
        AlertKind::Rollback => format!("self-hosted routing was switched off because of {job}"),
        other => format!("{} at {job}", other.as_str()),
    }
}
