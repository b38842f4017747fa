//! What the ledger's records say. Every payload carries `v`, the version of its own layout.
//!
//! | kind | id | holds | kept |
//! |---|---|---|---|
//! | job | job id | how far it is, its decisions and facts, its runner | for ever while unfinished, then `retention_s` |
//! | want | job id | a job that was admitted and did not begin yet; the index of the pool | until it begins, or is over |
//! | run | run id | what was already done to the run | `retention_s` |
//! | runner | name | a runner of which anything is left | until it is destroyed |
//! | past_runner | name | the same, afterwards | `retention_s` |
//! | repository | `owner/name` | whether jitgate switched its routing off | for ever |
//! | group | repository or `org#group` | untrusted jobs that hold up minting | `retention_s` |
//! | alert | the alert's key | the alert | `retention_s` |

use crate::domain::decision::{Action, Decision};
use crate::domain::event::JobEvent;
use crate::domain::facts::Facts;
use crate::domain::ids::{DeliveryId, JobId, RepositoryName, RunId, RunnerId};
use crate::domain::job::{Progress, Service, ServiceEvent};
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Layout version of all payloads in this file.
const LAYOUT: u32 = 1;
/// Decisions kept per job, the newest ones.
const DECISIONS_KEPT: usize = 16;
/// Names of runners kept per job, the newest ones.
const RUNNERS_KEPT: usize = 16;
/// Moments kept per job, the newest ones.
const MOMENTS_KEPT: usize = 64;
/// Records in one page of a listing.
const PAGE: usize = 500;
/// How often a lost compare-and-set is tried again before the caller hears of it.
const CONFLICTS: u32 = 50;

/// A record type: where it lives and for how long.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The kind of its key.
    const KIND: Kind;

    /// Whether it must outlive `retention_s`.
    fn is_unfinished(&self) -> bool;
}

/// A workflow job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its repository.
    pub repository: RepositoryName,
    /// Its run.
    pub run_id: RunId,
    /// How far it has come at GitHub.
    pub progress: Progress,
    /// How far we have come with serving it.
    #[serde(default)]
    pub service: Service,
    /// Name of the runner that is, or was, there for it.
    pub runner: Option<String>,
    /// Names of the runners it had so far, the newest last.
    #[serde(default)]
    pub runners: Vec<String>,
    /// Runners asked for so far; numbers their names.
    pub mints: u32,
    /// How many of them don't count as attempts: they were taken by somebody else.
    pub mints_stolen: u32,
    /// What happened to it with us, oldest first.
    #[serde(default)]
    pub moments: Vec<Moment>,
    /// Decisions with the facts behind them, oldest first.
    pub decisions: Vec<Entry>,
}

/// A decision, what it was made from, and what of it is still to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The decision.
    pub decision: Decision,
    /// The facts it was made from.
    pub facts: Facts,
    /// Its actions that have not been done yet.
    pub pending: Vec<Action>,
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: DateTime<Utc>,
    /// What; a fragment for people, of our own words only.
    pub what: String,
}

impl JobRecord {
    /// A job nothing is known of yet.
    #[must_use]
    pub fn new(id: JobId, repository: RepositoryName, run_id: RunId) -> Self {
        Self {
            id,
            repository,
            run_id,
            progress: Progress::Unseen,
            service: Service::Unwanted,
            runner: None,
            runners: Vec::new(),
            mints: 0,
            mints_stolen: 0,
            moments: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Whether a runner is there for the job, or was.
    #[must_use]
    pub fn is_served(&self) -> bool {
        match self.service {
            Service::Serving | Service::Served => true,
            Service::Closed => self.runner.is_some(),
            Service::Unwanted | Service::Wanted | Service::GivenUp => false,
        }
    }

    /// Has a runner from now on.
    pub fn take_runner(&mut self, name: &str) {
        self.runner = Some(name.to_owned());
        self.runners.retain(|known| known != name);
        self.runners.push(name.to_owned());
        let surplus = self.runners.len().saturating_sub(RUNNERS_KEPT);
        self.runners.drain(..surplus);
    }

    /// Advances how far we have come with it. False where the event changes nothing.
    pub fn advance(&mut self, event: ServiceEvent, at: DateTime<Utc>, what: impl Into<String>) -> bool {
        let Some(next) = self.service.after(event) else {
            return false;
        };
        self.service = next;
        self.moments.push(Moment { at, what: what.into() });
        let surplus = self.moments.len().saturating_sub(MOMENTS_KEPT);
        self.moments.drain(..surplus);
        true
    }

    /// How often a runner may still be asked for.
    #[must_use]
    pub fn attempts_left(&self, attempts: u32) -> u32 {
        attempts.saturating_add(self.mints_stolen).saturating_sub(self.mints)
    }

    /// Adds a decision, or replaces an earlier one on the same delivery.
    pub fn note(&mut self, entry: Entry) {
        self.decisions
            .retain(|old| old.decision.delivery != entry.decision.delivery);
        self.decisions.push(entry);
        let surplus = self.decisions.len().saturating_sub(DECISIONS_KEPT);
        self.decisions.drain(..surplus);
    }

    /// The entry of a delivery.
    #[must_use]
    pub fn entry(&self, delivery: &DeliveryId) -> Option<&Entry> {
        self.decisions.iter().find(|entry| entry.decision.delivery == *delivery)
    }

    /// Crosses one action off a delivery's list.
    pub fn cross_off(&mut self, delivery: &DeliveryId, done: Action) {
        for entry in &mut self.decisions {
            if entry.decision.delivery == *delivery {
                entry.pending.retain(|action| *action != done);
            }
        }
    }
}

impl Record for JobRecord {
    const KIND: Kind = Kind::Job;
    fn is_unfinished(&self) -> bool {
        self.progress != Progress::Completed || matches!(self.service, Service::Wanted | Service::Serving)
    }
}

/// What was already done to a run, per attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunRecord {
    /// The latest attempt that was cancelled.
    pub cancelled_attempt: Option<u32>,
    /// The latest attempt that was force-cancelled.
    pub force_cancelled_attempt: Option<u32>,
    /// The latest attempt that was followed by a re-run of ours.
    pub rerun_attempt: Option<u32>,
    /// Whether it has switched routing off. Late events of it don't do so again once a person has switched it on.
    #[serde(default)]
    pub rolled_back: bool,
}

impl Record for RunRecord {
    const KIND: Kind = Kind::Run;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// A job that was admitted and did not begin yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The event that asks for a runner. It is decided on again when there is an environment for it.
    pub event: JobEvent,
    /// Its delivery.
    pub delivery: DeliveryId,
    /// When that came in.
    pub received_at: DateTime<Utc>,
    /// Its repository.
    pub repository: RepositoryName,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// How often it could not be decided on, in a row.
    pub tries: u32,
    /// Before then it is left alone.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being made for it, and by which instance.
    pub holder: Option<Holder>,
}

/// Who makes a runner for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The instance.
    pub instance: String,
    /// The runner's name.
    pub runner: String,
}

impl Record for Want {
    const KIND: Kind = Kind::Want;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A runner of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRecord {
    /// Its name, recorded before GitHub is asked for it.
    pub name: String,
    /// The instance that made it.
    pub instance: String,
    /// The repository it was made for.
    pub repository: RepositoryName,
    /// The job it is there for.
    pub job: JobId,
    /// Its environment on the host.
    pub slot: String,
    /// GitHub's id, once known.
    pub id: Option<RunnerId>,
    /// Where it stands.
    pub state: RunnerState,
    /// Why it ended.
    pub outcome: Option<Outcome>,
    /// More about that, for people.
    pub detail: Option<String>,
    /// The job that GitHub gave it to, where we heard of it.
    pub taken_by: Option<JobId>,
    /// When.
    pub taken_at: Option<DateTime<Utc>>,
    /// Whether the host let its job begin.
    pub passed_gate: bool,
    /// When it came to each of its states.
    pub history: Vec<Entered>,
}

/// A state of a runner, and when it came to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The state.
    pub state: RunnerState,
    /// When.
    pub at: DateTime<Utc>,
}

impl RunnerRecord {
    /// A runner that has nothing but a name yet.
    #[must_use]
    pub fn named(
        name: String,
        instance: &str,
        repository: RepositoryName,
        job: JobId,
        slot: &str,
        at: DateTime<Utc>,
    ) -> Self {
        let state = RunnerState::Minting;
        Self {
            name,
            instance: instance.to_owned(),
            repository,
            job,
            slot: slot.to_owned(),
            id: None,
            state,
            outcome: None,
            detail: None,
            taken_by: None,
            taken_at: None,
            passed_gate: false,
            history: vec![Entered { state, at }],
        }
    }

    /// Advances it. False where the event changes nothing.
    pub fn advance(&mut self, event: RunnerEvent, at: DateTime<Utc>) -> bool {
        let Some(state) = self.state.after(event) else {
            return false;
        };
        self.state = state;
        self.passed_gate |= state == RunnerState::Running;
        self.history.push(Entered { state, at });
        true
    }

    /// Since when it is where it is.
    #[must_use]
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.history.last().map(|entered| entered.at)
    }
}

impl Record for RunnerRecord {
    const KIND: Kind = Kind::Runner;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A runner of which nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PastRunner(pub RunnerRecord);

impl Record for PastRunner {
    const KIND: Kind = Kind::PastRunner;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// What jitgate did to a repository's routing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Set while routing is off because jitgate switched it off.
    pub rolled_back: Option<RolledBack>,
}

/// A rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// When.
    pub at: DateTime<Utc>,
    /// Because of which job.
    pub job: JobId,
}

impl Record for RepositoryRecord {
    const KIND: Kind = Kind::Repository;
    fn is_unfinished(&self) -> bool {
        true
    }
}

impl Record for crate::domain::alert::Alert {
    const KIND: Kind = Kind::Alert;
    fn is_unfinished(&self) -> bool {
        false
    }
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    record: T,
}

/// Reads a record.
///
/// # Errors
/// The ledger's failure; [`Failure::Permanent`] for a payload this version cannot read.
pub async fn load<R: Record>(ledger: &dyn Ledger, id: &str) -> Result<Option<R>, Failure> {
    Ok(load_versioned(ledger, &Key::new(R::KIND, id))
        .await?
        .map(|(record, _)| record))
}

/// Changes a record by compare-and-set, again if somebody else was faster. `change` starts from nothing when there is no
/// record, and returning none leaves everything as it is. Gives the record as it is afterwards.
///
/// # Errors
/// The ledger's failure.
pub async fn update<R: Record>(
    ledger: &dyn Ledger,
    id: &str,
    retention: Duration,
    mut change: impl FnMut(Option<R>) -> Option<R> + Send,
) -> Result<Option<R>, Failure> {
    let key = Key::new(R::KIND, id);
    for _ in 0..CONFLICTS {
        let (old, version) = load_versioned::<R>(ledger, &key).await?.unzip();
        let Some(new) = change(old.clone()) else {
            return Ok(old);
        };
        let keep = if new.is_unfinished() {
            Keep::Forever
        } else {
            Keep::For(retention)
        };
        let text = serde_json::to_string(&Versioned {
            v: LAYOUT,
            record: new.clone(),
        })
        .map_err(|error| Failure::Permanent(format!("cannot write record {key}: {error}")))?;
        if let Put::Written(_) = ledger.put(&key, &text, version, keep).await? {
            return Ok(Some(new));
        }
    }
    Err(Failure::Transient(format!("record {key} keeps changing under us")))
}

/// Lists records of one type, at most `limit`.
///
/// # Errors
/// The ledger's failure.
pub async fn list<R: Record>(ledger: &dyn Ledger, limit: usize) -> Result<Vec<R>, Failure> {
    let (records, _) = page(ledger, None, limit).await?;
    records.into_iter().collect()
}

/// Records of one type, each as far as this version can read it.
pub type Page<R> = Vec<Result<R, Failure>>;

/// Lists records of one type in ascending order of id, after `after`, at most `limit`; and the id to go on after, if there
/// may be more.
///
/// # Errors
/// The ledger's failure.
pub async fn page<R: Record>(
    ledger: &dyn Ledger,
    after: Option<&str>,
    limit: usize,
) -> Result<(Page<R>, Option<String>), Failure> {
    let rows = ledger.list(R::KIND, after, limit).await?;
    let record = |(id, stored): &(String, Stored)| read(&Key::new(R::KIND, id), &stored.value);
    let records = rows.iter().map(record).collect();
    let is_full = rows.len() == limit;
    Ok((
        records,
        rows.into_iter().next_back().map(|(id, _)| id).filter(|_| is_full),
    ))
}

/// Removes a record.
///
/// # Errors
/// The ledger's failure.
pub async fn remove<R: Record>(ledger: &dyn Ledger, id: &str) -> Result<(), Failure> {
    ledger.remove(&Key::new(R::KIND, id)).await
}

/// Every record of one type, a page at a time; for types of which there are never many.
///
/// # Errors
/// The ledger's failure.
pub async fn all<R: Record>(ledger: &dyn Ledger) -> Result<Vec<R>, Failure> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let rows = ledger.list(R::KIND, after.as_deref(), PAGE).await?;
        for (id, stored) in &rows {
            found.push(read(&Key::new(R::KIND, id), &stored.value)?);
        }
        let is_last = rows.len() < PAGE;
        after = rows.into_iter().next_back().map(|(id, _)| id);
        if is_last || after.is_none() {
            return Ok(found);
        }
    }
}

async fn load_versioned<R: Record>(ledger: &dyn Ledger, key: &Key) -> Result<Option<(R, u64)>, Failure> {
    let Some(stored) = ledger.get(key).await? else {
        return Ok(None);
    };
    Ok(Some((read(key, &stored.value)?, stored.version)))
}

fn read<R: Record>(key: &Key, text: &str) -> Result<R, Failure> {
    let unreadable = |why: String| Failure::Permanent(format!("cannot read record {key}: {why}"));
    let versioned: Versioned<R> = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if versioned.v > LAYOUT {
        return Err(unreadable(format!("layout {} is newer than {LAYOUT}", versioned.v)));
    }
    Ok(versioned.record)
}
