//! The history of a job: every known delivery about it, the decisions, and the pending actions.
//!
//! `jitgate why --json` and `/api/v1/jobs/ID` show this value. It is found by ids alone, so its cost does not depend on
//! the size of the store.

use crate::app::records::{self, JobRecord, Moment, RunnerRecord, WaitingRecord};
use crate::app::runners::record::load_runner;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::job::{Progress, Service};
use crate::domain::proof::ProvenStep;
use crate::domain::reason::{self, Reason};
use crate::domain::runner::RunnerState;
use crate::domain::slot::SlotSize;
use crate::ports::queue::{Delivery, DeliveryState, Filter};
use crate::ports::{Failure, Ledger, Queue};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Maximum number of undecided deliveries in a history.
const MAX_UNDECIDED: usize = 16;

/// A job's newest decision record with its context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobHistory {
    /// The newest decision; `None` before the first.
    #[serde(flatten)]
    pub newest: Option<Decision>,
    /// The progress of the job at GitHub.
    pub progress: Progress,
    /// The state of jitgate's service for it.
    pub service: Service,
    /// The reason for its wait, if it waits.
    pub waits: Option<Wait>,
    pub runner: Option<RunnerRecord>,
    /// The steps of each of its runners from the slot to the tear-down, in the order of the runners.
    pub proofs: Vec<RunnerProof>,
    /// All events, decisions and actions, including those of its runners, oldest first.
    pub timeline: Vec<Moment>,
    /// The decisions, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The undecided deliveries, oldest first.
    pub undecided: Vec<Delivery>,
    /// True if a part was discarded, because the job is over and never was trusted.
    pub is_shrunk: bool,
}

/// The steps of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunnerProof {
    /// The name of the runner.
    pub runner: String,
    pub steps: Vec<ProvenStep>,
}

/// The reason why an admitted job has no runner yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The start of the wait.
    pub since: DateTime<Utc>,
    /// The reasons of the delay; empty if the job waits for its turn.
    pub reasons: Vec<Reason>,
    /// The earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being created for it.
    pub runner: Option<String>,
    /// The size of the slot that it waits for.
    pub size: SlotSize,
}

/// A delivery with its decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    #[serde(flatten)]
    pub decision: Decision,
    /// The pending actions.
    pub pending: Vec<Action>,
    /// The delivery in the queue; `None` if it has expired.
    pub queue: Option<Delivery>,
}

/// Returns the history of a job, or `None` if the job is unknown.
///
/// # Errors
/// The failure of the store.
pub async fn of_job(queue: &dyn Queue, ledger: &dyn Ledger, job: JobId) -> Result<Option<JobHistory>, Failure> {
    let record: Option<JobRecord> = records::load(ledger, &job.to_string()).await?;
    let mut undecided = queue.deliveries(&Filter::unfinished_of(job), MAX_UNDECIDED).await?;
    undecided.reverse();
    let Some(record) = record else {
        let story = JobHistory {
            newest: None,
            progress: Progress::Unseen,
            service: Service::Unwanted,
            waits: None,
            runner: None,
            proofs: Vec::new(),
            timeline: undecided.iter().map(came_in).collect(),
            history: Vec::new(),
            undecided,
            is_shrunk: false,
        };
        return Ok(Some(story).filter(|story| !story.undecided.is_empty()));
    };
    undecided.retain(|delivery| record.entry(&delivery.id).is_none());
    let Runners {
        own: runner,
        proofs,
        moments: mut of_runners,
    } = runners_of(ledger, &record).await?;
    let mut history = Vec::new();
    for entry in record.decisions {
        history.push(HistoryEntry {
            queue: queue.delivery(&entry.decision.delivery).await?,
            decision: entry.decision,
            pending: entry.pending,
        });
    }
    let mut timeline: Vec<Moment> = history.iter().flat_map(moments_of).collect();
    timeline.extend(undecided.iter().map(came_in));
    timeline.extend(record.moments);
    timeline.append(&mut of_runners);
    timeline.sort_by_key(|moment| moment.at);
    let waiting: Option<WaitingRecord> = records::load(ledger, &job.to_string()).await?;
    Ok(Some(JobHistory {
        newest: history.last().map(|entry| entry.decision.clone()),
        progress: record.progress,
        service: record.service,
        waits: waits(waiting, history.last()),
        runner,
        proofs,
        timeline,
        history,
        undecided,
        is_shrunk: record.is_shrunk,
    }))
}

/// Returns the reason for the job's wait: its turn in the pool, or the next attempt of a delayed delivery.
fn waits(waiting: Option<WaitingRecord>, newest: Option<&HistoryEntry>) -> Option<Wait> {
    let held = newest.filter(|entry| entry.decision.admission.verdict == AdmissionVerdict::Hold);
    let reasons = held.map_or_else(Vec::new, |entry| entry.decision.admission.reasons.clone());
    if let Some(waiting) = waiting {
        return Some(Wait {
            since: waiting.since,
            reasons,
            not_before: waiting.not_before,
            runner: waiting.holder.map(|holder| holder.runner),
            size: waiting.size,
        });
    }
    let entry = held?;
    let delivery = entry.queue.as_ref()?;
    matches!(delivery.state, DeliveryState::Queued | DeliveryState::Leased).then(|| Wait {
        since: entry.decision.received_at,
        reasons,
        not_before: delivery.due_at,
        runner: None,
        size: None,
    })
}

fn came_in(delivery: &Delivery) -> Moment {
    let action = delivery.action.map_or("an event", |action| action.as_str());
    delivered(delivery.received_at, action, &delivery.id)
}

fn delivered(at: DateTime<Utc>, action: &str, delivery: &DeliveryId) -> Moment {
    let what = if delivery.is_synthesized() {
        format!("GitHub shows the job as {action}, and no delivery arrived: synthesized as {delivery}")
    } else {
        format!("GitHub says {action}: delivery {delivery}")
    };
    Moment { at, what }
}

/// Returns the arrival of a delivery and its decision.
fn moments_of(entry: &HistoryEntry) -> Vec<Moment> {
    let decision = &entry.decision;
    let because = |verdict: &str, reasons: &[Reason]| match reasons {
        [] => verdict.to_owned(),
        reasons => format!("{verdict} ({})", reason::join(reasons)),
    };
    let trust = because(decision.trust.verdict.as_str(), &decision.trust.reasons);
    let admission = because(decision.admission.verdict.as_str(), &decision.admission.reasons);
    let mut what = format!(
        "decided: {trust}, routing {}, admission {admission}",
        decision.routing.verdict.as_str()
    );
    let actions: Vec<String> = decision.actions.iter().map(ToString::to_string).collect();
    if !actions.is_empty() {
        what.push_str(&format!("; {}", actions.join(", ")));
    }
    let decided = Moment {
        at: decision.decided_at,
        what,
    };
    if entry.is_of_the_gate() {
        return vec![decided];
    }
    let heard = delivered(decision.received_at, decision.action.as_str(), &decision.delivery);
    vec![heard, decided]
}

impl HistoryEntry {
    /// Returns true if the decision was made for the job gate and not for a delivery.
    #[must_use]
    pub fn is_of_the_gate(&self) -> bool {
        self.queue.is_none() && self.decision.delivery.as_str().starts_with("gate-")
    }
}

/// The runners of a job.
#[derive(Default)]
struct Runners {
    /// The runner that serves it.
    own: Option<RunnerRecord>,
    proofs: Vec<RunnerProof>,
    /// The events of each of them.
    moments: Vec<Moment>,
}

async fn runners_of(ledger: &dyn Ledger, job: &JobRecord) -> Result<Runners, Failure> {
    let mut found = Runners::default();
    for name in &job.runners {
        let Some(runner) = load_runner(ledger, name).await? else {
            continue;
        };
        for entered in &runner.history {
            if let Some(what) = came_to(&runner, entered.state) {
                let what = format!("runner {name} {what}");
                found.moments.push(Moment { at: entered.at, what });
            }
        }
        if let (Some(taken_by), Some(at)) = (runner.taken_by, runner.taken_at) {
            let what = format!("GitHub gave runner {name} to job {taken_by}");
            found.moments.push(Moment { at, what });
        }
        found.proofs.push(RunnerProof {
            runner: name.clone(),
            steps: runner.proof(),
        });
        if job.runner.as_ref() == Some(name) {
            found.own = Some(runner);
        }
    }
    Ok(found)
}

/// Returns the description of a runner's state, or `None` if the history of the job contains it.
fn came_to(runner: &RunnerRecord, state: RunnerState) -> Option<String> {
    Some(match state {
        RunnerState::Minting => return None,
        RunnerState::Minted => match runner.id {
            Some(id) => format!("is known to GitHub, id {id}"),
            None => "is known to GitHub".to_owned(),
        },
        RunnerState::Booting => "starts in its slot".to_owned(),
        RunnerState::Online => "is connected".to_owned(),
        RunnerState::Gated => "has a job at its gate".to_owned(),
        RunnerState::Running => "opens its gate".to_owned(),
        RunnerState::Ended => {
            let outcome = runner.outcome.map_or("ended", |outcome| outcome.as_str());
            match &runner.detail {
                Some(detail) => format!("is over, {outcome}: {detail}"),
                None => format!("is over, {outcome}"),
            }
        }
        RunnerState::Destroyed => {
            let evidence = &runner.evidence;
            match (&evidence.disk_kept, &evidence.hindrance) {
                (_, Some(_)) => "is destroyed, and its slot is gone".to_owned(),
                (Some(_), None) => "is destroyed, its disk is kept, and GitHub's record is gone".to_owned(),
                (None, None) => "is destroyed, and its slot and GitHub's record are gone".to_owned(),
            }
        }
    })
}
