//! The records of incidents. The record of an incident follows that of its alert, which is authoritative: every call can
//! be repeated, by any worker and after a crash.

use crate::app::alerts::Alerts;
use crate::app::records;
use crate::domain::alert::{Alert, Severity};
use crate::domain::incident::{Incident, IncidentState};
use crate::ports::{Failure, Ledger};
use std::time::Duration;

/// Number of records in one read.
const PAGE: usize = 200;
/// Minimum length of the beginning of an id in a request.
const MIN_ID_LENGTH: usize = 4;

/// A filter of incidents.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// The states; empty for all.
    pub states: Vec<IncidentState>,
    /// The repository, independent of case.
    pub repository: Option<String>,
}

impl IncidentFilter {
    fn matches(&self, incident: &Incident) -> bool {
        let repository = self.repository.as_ref();
        (self.states.is_empty() || self.states.contains(&incident.state))
            && repository.is_none_or(|name| name.eq_ignore_ascii_case(&incident.repository))
    }

    fn wants_closed(&self) -> bool {
        self.states.is_empty() || self.states.contains(&IncidentState::Closed)
    }
}

/// Brings the incident of an alert's episode up to date, and ends that of the episode before. Returns the incident, or
/// none if the alert is not critical.
///
/// # Errors
/// The failure of the ledger.
pub(in crate::app) async fn follow(
    ledger: &dyn Ledger,
    retention: Duration,
    alert: &Alert,
) -> Result<Option<Incident>, Failure> {
    if alert.severity != Severity::Critical {
        return Ok(None);
    }
    let key = Incident::key_of(&alert.id, alert.episode, alert.opened_at);
    if let Some(known) = records::load::<Incident>(ledger, &key).await? {
        let mut followed = known.clone();
        followed.follow(alert);
        if followed == known {
            return Ok(Some(known));
        }
    } else if let Some(past) = &alert.earlier {
        let earlier = Incident::key_of(&alert.id, past.episode, past.opened_at);
        records::change(ledger, &earlier, retention, |incident: &mut Incident| {
            incident.follow(alert)
        })
        .await?;
    }
    let followed = records::update(ledger, &key, retention, |incident: &mut Option<Incident>| {
        let incident = incident.get_or_insert_with(|| Incident::open(alert));
        incident.follow(alert);
        incident.clone()
    });
    Ok(Some(followed.await?))
}

/// Returns the incidents of the live critical alerts, latest first. Every incident that is not closed is among them.
async fn live(ledger: &dyn Ledger, alerts: &Alerts) -> Result<Vec<Incident>, Failure> {
    let mut found = Vec::new();
    for alert in alerts.live().await? {
        let key = Incident::key_of(&alert.id, alert.episode, alert.opened_at);
        found.extend(records::load::<Incident>(ledger, &key).await?);
    }
    found.sort_by_key(Incident::key);
    Ok(found)
}

/// Returns at most `limit` incidents that match the filter, latest first. Without closed ones the cost does not depend
/// on the length of the history.
///
/// # Errors
/// The failure of the ledger.
pub async fn list(
    ledger: &dyn Ledger,
    alerts: &Alerts,
    filter: &IncidentFilter,
    limit: usize,
) -> Result<Vec<Incident>, Failure> {
    if !filter.wants_closed() {
        let mut found = live(ledger, alerts).await?;
        found.retain(|incident| filter.matches(incident));
        found.truncate(limit);
        return Ok(found);
    }
    let mut found = Vec::new();
    let mut after = None;
    while found.len() < limit {
        let (page, next) = records::page::<Incident>(ledger, after.as_deref(), PAGE).await?;
        found.extend(readable(page).filter(|incident| filter.matches(incident)));
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Returns the incidents whose id begins with `id`, latest first: one if `id` is complete, otherwise
/// at most two.
///
/// # Errors
/// The failure of the ledger.
pub async fn find(ledger: &dyn Ledger, id: &str) -> Result<Vec<Incident>, Failure> {
    let mut found: Vec<Incident> = Vec::new();
    if id.len() < MIN_ID_LENGTH {
        return Ok(found);
    }
    let mut after = None;
    loop {
        let (page, next) = records::page::<Incident>(ledger, after.as_deref(), PAGE).await?;
        for incident in readable(page) {
            if incident.id == id {
                return Ok(vec![incident]);
            }
            if found.len() < 2 && incident.id.starts_with(id) {
                found.push(incident);
            }
        }
        match next {
            Some(_) => after = next,
            None => return Ok(found),
        }
    }
}

/// A record by another version must not hide the others.
fn readable(page: records::Page<Incident>) -> impl Iterator<Item = Incident> {
    page.into_iter().filter_map(|record| match record {
        Ok(incident) => Some(incident),
        Err(failure) => {
            tracing::warn!(%failure, "unreadable incident omitted");
            None
        }
    })
}
