//! The store of alerts: open, acknowledged and resolved ones. All operations only write to the ledger.
//!
//! The record of an alert is authoritative. A `live-alert` record exists as long as the alert is not resolved or a sink
//! has not been notified, so that live alerts are found without a scan of all alerts. It is written after the alert and
//! deleted before a final check. The next start repairs the effect of a crash in between.

use crate::app::records::{self, Record};
use crate::domain::alert::{Alert, AlertKey, AlertKind, AlertState, Escalation, ITSELF, Told};
use crate::domain::ids::JobId;
use crate::ports::alert_sink::AlertSink;
use crate::ports::ledger::{Key, Kind};
use crate::ports::{Clock, Failure, Ledger, Observer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Maximum number of live alerts that are kept apart. Beyond it, further persons are combined into one alert, because
/// outsiders can have many accounts.
const MAX_LIVE: usize = 500;
/// Number of records in one read.
const PAGE: usize = 500;
/// Minimum length of the beginning of an id in a request.
const MIN_ID_LENGTH: usize = 4;

/// The alerts in the ledger and their sinks.
pub struct Alerts {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) retention: Duration,
    pub(super) sinks: Vec<Arc<dyn AlertSink>>,
    pub(super) changed: Notify,
    altered: Notify,
}

/// The mark of a live alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LiveAlert {
    id: String,
}

impl Record for LiveAlert {
    const KIND: Kind = Kind::LiveAlert;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A filter of alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// The states; empty for all.
    pub states: Vec<AlertState>,
    /// The kinds; empty for all.
    pub kinds: Vec<AlertKind>,
    /// The repository, independent of case.
    pub repository: Option<String>,
}

impl AlertFilter {
    fn matches(&self, alert: &Alert) -> bool {
        let repository = self.repository.as_ref();
        (self.states.is_empty() || self.states.contains(&alert.state))
            && (self.kinds.is_empty() || self.kinds.contains(&alert.kind))
            && repository.is_none_or(|name| name.eq_ignore_ascii_case(&alert.repository))
    }
}

/// The result of an operator's change of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The change is stored.
    Done(Box<Alert>),
    /// The alert is already resolved.
    Over(Box<Alert>),
    /// The alert does not exist.
    Unknown,
}

impl Alerts {
    /// Creates the store. Alerts are sent to `sinks`, and resolved ones are kept for `retention`.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        retention: Duration,
        sinks: Vec<Arc<dyn AlertSink>>,
    ) -> Self {
        Self {
            ledger,
            clock,
            observer,
            retention,
            sinks,
            changed: Notify::new(),
            altered: Notify::new(),
        }
    }

    /// Raises an alert. [`Alerts::run`] of this or another process sends it. The call can be repeated after a failure
    /// or a crash: raising the same alert for the same job again changes nothing.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn raise(&self, alert: Alert) -> Result<(), Failure> {
        let ledger = self.ledger.as_ref();
        let is_new = records::load::<Alert>(ledger, &alert.id).await?.is_none();
        let alert = if is_new && ledger.list(Kind::LiveAlert, None, MAX_LIVE).await?.len() == MAX_LIVE {
            alert.of_others()
        } else {
            alert
        };
        let id = alert.id.clone();
        let raised = self
            .change(&id, |old| {
                Some(old.map_or_else(|| alert.clone(), |old| old.raised_again(&alert)))
            })
            .await?;
        match raised {
            Some(raised) if !raised.is_settled() => self.add_to_index(&id).await,
            _ => Ok(()),
        }
    }

    /// Raises an alert about a persisting fact, unless it was already raised for the same fact. An alert that an
    /// operator resolved stays resolved, and one that ended by itself reopens.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn raise_once(&self, alert: Alert) -> Result<(), Failure> {
        let known: Option<Alert> = records::load(self.ledger.as_ref(), &alert.id).await?;
        let is_told = |known: &Alert| {
            let was_over = known.state == AlertState::Resolved && known.resolved_by.as_deref() == Some(ITSELF);
            known.summary == alert.summary && !was_over
        };
        if known.as_ref().is_some_and(is_told) {
            return Ok(());
        }
        tracing::warn!(kind = alert.kind.as_str(), "{}", alert.summary);
        self.raise(alert).await
    }

    /// Reports that the cause of an alert is over for one job, or for all jobs if none is given. The alert is resolved once it is
    /// over for every job that it was raised for. Costs one read if there is no such alert.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn over(&self, key: &AlertKey, job: Option<JobId>) -> Result<(), Failure> {
        let now = self.clock.now();
        self.change(&key.id(), |old| Some(old?.over_for(job.map(|job| job.0), now)))
            .await?;
        Ok(())
    }

    /// Acknowledges an alert.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn ack(&self, id: &str, by: &str) -> Result<Settled, Failure> {
        let now = self.clock.now();
        let changed = self.change(id, |old| old?.acked(by, now)).await?;
        Ok(match changed {
            None => Settled::Unknown,
            Some(alert) if alert.state == AlertState::Resolved => Settled::Over(Box::new(alert)),
            Some(alert) => Settled::Done(Box::new(alert)),
        })
    }

    /// Resolves an alert.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn resolve(&self, id: &str, by: &str) -> Result<Settled, Failure> {
        let now = self.clock.now();
        let changed = self.change(id, |old| Some(old?.resolved(by, now))).await?;
        Ok(changed.map_or(Settled::Unknown, |alert| Settled::Done(Box::new(alert))))
    }

    /// Escalates an episode of an alert, so that every sink receives it again. Returns none if the alert has escalated for
    /// this deadline, a person has acted, or the episode is over.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn escalate(&self, id: &str, episode: u32, escalation: &Escalation) -> Result<Option<Alert>, Failure> {
        let (alert, is_ours) = self.note(id, |old| old?.escalated(episode, escalation)).await?;
        self.wake();
        Ok(alert.filter(|_| is_ours))
    }

    /// Waits for a change of an alert by this process since the last call.
    pub(in crate::app) async fn altered(&self) {
        self.altered.notified().await;
    }

    /// Returns the alerts whose id begins with `id`, at most two.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn find(&self, id: &str) -> Result<Vec<Alert>, Failure> {
        let ledger = self.ledger.as_ref();
        if let Some(alert) = records::load(ledger, id).await? {
            return Ok(vec![alert]);
        }
        if id.len() < MIN_ID_LENGTH {
            return Ok(Vec::new());
        }
        let (page, _) = records::page::<Alert>(ledger, Some(id), 2).await?;
        Ok(readable(page).filter(|alert| alert.id.starts_with(id)).collect())
    }

    /// Returns at most `limit` alerts that match the filter, most recently raised first.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn list(&self, filter: &AlertFilter, limit: usize) -> Result<Vec<Alert>, Failure> {
        let mut listed: Vec<Alert> = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = records::page::<Alert>(self.ledger.as_ref(), after.as_deref(), PAGE).await?;
            listed.extend(readable(page).filter(|alert| filter.matches(alert)));
            listed.sort_by(|a, b| (b.last_at, &a.id).cmp(&(a.last_at, &b.id)));
            listed.truncate(limit);
            match next {
                Some(_) => after = next,
                None => return Ok(listed),
            }
        }
    }

    /// Returns the alerts that are not resolved or that a sink has not been notified of.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn live(&self) -> Result<Vec<Alert>, Failure> {
        let mut live = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = records::page::<LiveAlert>(self.ledger.as_ref(), after.as_deref(), PAGE).await?;
            for LiveAlert { id } in readable(page) {
                match records::load(self.ledger.as_ref(), &id).await {
                    Ok(Some(alert)) => live.push(alert),
                    // The alert was resolved so long ago that it has expired.
                    Ok(None) => self.remove_from_index(&id).await?,
                    Err(Failure::Permanent(why)) => unreadable(&why),
                    Err(failure) => return Err(failure),
                }
            }
            match next {
                Some(_) => after = next,
                None => return Ok(live),
            }
        }
    }

    /// Changes an alert and wakes the dispatcher. `change` returns `None` to leave it unchanged. Returns the alert
    /// afterwards.
    async fn change(
        &self,
        id: &str,
        change: impl FnMut(Option<Alert>) -> Option<Alert> + Send,
    ) -> Result<Option<Alert>, Failure> {
        let (changed, _) = self.note(id, change).await?;
        self.wake();
        Ok(changed)
    }

    fn wake(&self) {
        self.changed.notify_one();
        self.altered.notify_one();
    }

    /// Changes an alert without waking the dispatcher. Also returns whether `change` gave an alert.
    pub(super) async fn note(
        &self,
        id: &str,
        mut change: impl FnMut(Option<Alert>) -> Option<Alert> + Send,
    ) -> Result<(Option<Alert>, bool), Failure> {
        records::update(self.ledger.as_ref(), id, self.retention, |alert: &mut Option<Alert>| {
            let Some(mut new) = change(alert.clone()) else {
                return (alert.clone(), false);
            };
            // The sinks are recorded from the start, so that the alert does not count as settled before they are
            // notified.
            for sink in &self.sinks {
                new.told.entry(sink.name().to_owned()).or_insert_with(Told::default);
            }
            (Some(alert.insert(new).clone()), true)
        })
        .await
    }

    /// Resolves alerts that were not raised again during the retention. Otherwise they would stay forever, and
    /// outsiders can cause any number of them.
    pub(super) async fn resolve_outlived(&self, alert: &Alert) -> Result<(), Failure> {
        let (now, after) = (self.clock.now(), chrono::TimeDelta::from_std(self.retention));
        let is_outlived = |alert: &Alert| after.is_ok_and(|after| alert.is_outlived(after, now));
        if is_outlived(alert) {
            self.change(&alert.id, |old| Some(old.filter(is_outlived)?.resolved(ITSELF, now)))
                .await?;
        }
        Ok(())
    }

    /// Adds a live alert to the index.
    pub(super) async fn add_to_index(&self, id: &str) -> Result<(), Failure> {
        records::update(self.ledger.as_ref(), id, self.retention, |live| {
            live.get_or_insert_with(|| LiveAlert { id: id.to_owned() });
        })
        .await
    }

    /// Removes a settled alert from the index, unless it has just reopened.
    pub(super) async fn remove_from_index(&self, id: &str) -> Result<(), Failure> {
        self.ledger.remove(&Key::new(Kind::LiveAlert, id)).await?;
        let alert: Option<Alert> = records::load(self.ledger.as_ref(), id).await?;
        match alert {
            Some(alert) if !alert.is_settled() => self.add_to_index(id).await,
            _ => Ok(()),
        }
    }

    /// Adds live alerts to the index that a crash left out.
    pub(super) async fn rebuild_index(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let (page, next) = records::page::<Alert>(self.ledger.as_ref(), after.as_deref(), PAGE).await?;
            for alert in readable(page).filter(|alert| !alert.is_settled()) {
                self.add_to_index(&alert.id).await?;
            }
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }
}

/// A record by another version must not hide the others.
fn readable<R>(page: records::Page<R>) -> impl Iterator<Item = R> {
    page.into_iter()
        .filter_map(|record| record.map_err(|failure| unreadable(&failure.to_string())).ok())
}

fn unreadable(why: &str) {
    tracing::warn!(why, "unreadable alert omitted");
}
