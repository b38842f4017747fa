//! What became of a job: every delivery about it that is remembered, what was decided, and what is still to be done.
//!
//! `jitgate why --json` and `/api/v1/jobs/ID` give this very value. It is found by ids alone, so it costs the same
//! however much the store remembers.

use crate::app::records::{self, JobRecord, Moment, RunnerRecord, Want};
use crate::app::runners::record::load_runner;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::job::{Progress, Service};
use crate::domain::reason::{self, Reason};
use crate::domain::runner::RunnerState;
use crate::ports::queue::{Delivery, DeliveryState, Filter};
use crate::ports::{Failure, Ledger, Queue};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Undecided deliveries of one job that are told of.
const UNDECIDED_TOLD: usize = 16;

/// A job's newest decision record (contract 3) with everything around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The newest decision; none before the first.
    #[serde(flatten)]
    pub newest: Option<Decision>,
    /// How far the job has come at GitHub.
    pub progress: Progress,
    /// How far we have come with serving it.
    pub service: Service,
    /// What it waits for, while it does.
    pub waits: Option<Wait>,
    /// Its runner.
    pub runner: Option<RunnerRecord>,
    /// What was heard of it, decided and done, its runners included, oldest first.
    pub timeline: Vec<Moment>,
    /// What was decided, oldest first.
    pub history: Vec<Chapter>,
    /// Deliveries that nothing was decided on yet, oldest first.
    pub undecided: Vec<Delivery>,
    /// Whether a part of it is forgotten: the job is over, and never was trusted.
    pub is_shrunk: bool,
}

/// Why a job that may have a runner has none yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// Why it was put off; empty when it only waits for its turn.
    pub reasons: Vec<Reason>,
    /// Before then it is left alone.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being made for it.
    pub runner: Option<String>,
}

/// One delivery and what was decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chapter {
    /// The decision record.
    #[serde(flatten)]
    pub decision: Decision,
    /// Actions of it that are not done yet.
    pub pending: Vec<Action>,
    /// The delivery as the queue knows it; none when it is forgotten.
    pub queue: Option<Delivery>,
}

/// Tells what became of a job; none when nothing is known of it.
///
/// # Errors
/// The store's failure.
pub async fn tell(queue: &dyn Queue, ledger: &dyn Ledger, job: JobId) -> Result<Option<Story>, Failure> {
    let record: Option<JobRecord> = records::load(ledger, &job.to_string()).await?;
    let mut undecided = queue.deliveries(&Filter::unfinished_of(job), UNDECIDED_TOLD).await?;
    undecided.reverse();
    let Some(record) = record else {
        let story = Story {
            newest: None,
            progress: Progress::Unseen,
            service: Service::Unwanted,
            waits: None,
            runner: None,
            timeline: undecided.iter().map(came_in).collect(),
            history: Vec::new(),
            undecided,
            is_shrunk: false,
        };
        return Ok(Some(story).filter(|story| !story.undecided.is_empty()));
    };
    undecided.retain(|delivery| record.entry(&delivery.id).is_none());
    let (runner, mut of_runners) = runners_of(ledger, &record).await?;
    let mut history = Vec::new();
    for entry in record.decisions {
        history.push(Chapter {
            queue: queue.delivery(&entry.decision.delivery).await?,
            decision: entry.decision,
            pending: entry.pending,
        });
    }
    let mut timeline: Vec<Moment> = history.iter().flat_map(told_of).collect();
    timeline.extend(undecided.iter().map(came_in));
    timeline.extend(record.moments);
    timeline.append(&mut of_runners);
    timeline.sort_by_key(|moment| moment.at);
    let want: Option<Want> = records::load(ledger, &job.to_string()).await?;
    Ok(Some(Story {
        newest: history.last().map(|chapter| chapter.decision.clone()),
        progress: record.progress,
        service: record.service,
        waits: waits(want, history.last()),
        runner,
        timeline,
        history,
        undecided,
        is_shrunk: record.is_shrunk,
    }))
}

/// What the job waits for: its turn in the pool, or another look at what it was put off for.
fn waits(want: Option<Want>, newest: Option<&Chapter>) -> Option<Wait> {
    let held = newest.filter(|chapter| chapter.decision.admission.verdict == AdmissionVerdict::Hold);
    let reasons = held.map_or_else(Vec::new, |chapter| chapter.decision.admission.reasons.clone());
    if let Some(want) = want {
        return Some(Wait {
            since: want.since,
            reasons,
            not_before: want.not_before,
            runner: want.holder.map(|holder| holder.runner),
        });
    }
    let chapter = held?;
    let delivery = chapter.queue.as_ref()?;
    matches!(delivery.state, DeliveryState::Queued | DeliveryState::Leased).then(|| Wait {
        since: chapter.decision.received_at,
        reasons,
        not_before: delivery.due_at,
        runner: None,
    })
}

fn came_in(delivery: &Delivery) -> Moment {
    let action = delivery.action.map_or("an event", |action| action.as_str());
    heard(delivery.received_at, action, &delivery.id)
}

fn heard(at: DateTime<Utc>, action: &str, delivery: &DeliveryId) -> Moment {
    let what = format!("GitHub says {action}: delivery {delivery}");
    Moment { at, what }
}

/// When a delivery came in, and what was decided on it.
fn told_of(chapter: &Chapter) -> Vec<Moment> {
    let decision = &chapter.decision;
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
    if chapter.is_of_the_gate() {
        return vec![decided];
    }
    let heard = heard(decision.received_at, decision.action.as_str(), &decision.delivery);
    vec![heard, decided]
}

impl Chapter {
    /// Whether it was the job gate that asked, and no delivery.
    #[must_use]
    pub fn is_of_the_gate(&self) -> bool {
        self.queue.is_none() && self.decision.delivery.as_str().starts_with("gate-")
    }
}

/// The job's runner, and what happened to each that it had.
async fn runners_of(ledger: &dyn Ledger, job: &JobRecord) -> Result<(Option<RunnerRecord>, Vec<Moment>), Failure> {
    let mut own = None;
    let mut moments = Vec::new();
    for name in &job.runners {
        let Some(runner) = load_runner(ledger, name).await? else {
            continue;
        };
        for entered in &runner.history {
            if let Some(what) = came_to(&runner, entered.state) {
                let what = format!("runner {name} {what}");
                moments.push(Moment { at: entered.at, what });
            }
        }
        if let (Some(taken_by), Some(at)) = (runner.taken_by, runner.taken_at) {
            let what = format!("GitHub gave runner {name} to job {taken_by}");
            moments.push(Moment { at, what });
        }
        if job.runner.as_ref() == Some(name) {
            own = Some(runner);
        }
    }
    Ok((own, moments))
}

/// What it means that a runner came to a state; none where its job tells.
fn came_to(runner: &RunnerRecord, state: RunnerState) -> Option<String> {
    Some(match state {
        RunnerState::Minting => return None,
        RunnerState::Minted => match runner.id {
            Some(id) => format!("is known to GitHub, id {id}"),
            None => "is known to GitHub".to_owned(),
        },
        RunnerState::Booting => "starts in its environment".to_owned(),
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
        RunnerState::Destroyed => "is destroyed, its environment and GitHub's record are gone".to_owned(),
    })
}
