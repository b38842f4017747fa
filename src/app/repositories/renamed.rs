//! Deliveries of a repository that is configured with a different name. It was renamed or transferred, and its
//! deliveries are ignored until the operator changes the configuration.

use super::pins;
use crate::app::alerts::Alerts;
use crate::app::records::{self, PinRecord};
use crate::app::settings::Repository;
use crate::domain::alert::Alert;
use crate::domain::ids::{RepositoryId, RepositoryName};
use crate::domain::pin::RepositoryIds;
use crate::ports::{Clock, Failure, Ledger};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Time that pins are cached. Most ignored deliveries belong to repositories that were never configured.
const PINS_INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// Minimum time between two alerts about one repository.
const ALERT_INTERVAL: TimeDelta = TimeDelta::seconds(60);

/// Reports renamed repositories.
pub struct Renamed {
    ledger: Arc<dyn Ledger>,
    alerts: Arc<Alerts>,
    clock: Arc<dyn Clock>,
    /// The configured names and ids.
    configured: Vec<(RepositoryName, RepositoryIds)>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The configured names by pinned id, with the time of reading.
    pins: HashMap<RepositoryId, RepositoryName>,
    read_at: Option<DateTime<Utc>>,
    told_at: HashMap<RepositoryId, DateTime<Utc>>,
}

impl Renamed {
    /// Creates the reporter. It reads the ids of `repositories` from `ledger` and raises its alerts in `alerts`.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        alerts: Arc<Alerts>,
        clock: Arc<dyn Clock>,
        repositories: &[Repository],
    ) -> Self {
        let ids = |repository: &Repository| (repository.name.clone(), repository.configured_ids);
        Self {
            ledger,
            alerts,
            clock,
            configured: repositories.iter().map(ids).collect(),
            memory: Mutex::default(),
        }
    }

    /// Reports an ignored delivery, whose repository name is not configured. A failure loses only this report.
    pub(in crate::app) async fn report(&self, ids: RepositoryIds, full_name: &str) {
        let Some(id) = ids.id else { return };
        if let Err(failure) = self.compare(id, full_name).await {
            tracing::warn!(%failure, "failed to check an ignored delivery for a renamed repository");
        }
    }

    async fn compare(&self, id: RepositoryId, full_name: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        if self.with(|memory| memory.read_at.is_none_or(|at| now - at >= PINS_INTERVAL)) {
            let pins = self.read().await?;
            self.with(|memory| {
                memory.pins = pins;
                memory.read_at = Some(now);
            });
        }
        let known_as = self.with(|memory| {
            let name = memory.pins.get(&id).cloned()?;
            let told_at = memory.told_at.get(&id);
            let is_due = told_at.is_none_or(|at| now - *at >= ALERT_INTERVAL);
            is_due.then(|| memory.told_at.insert(id, now));
            is_due.then_some(name)
        });
        let Some(known_as) = known_as else { return Ok(()) };
        let what = format!(
            "GitHub delivers for {full_name}, which is repository {id}, configured as {known_as}: it was renamed or \
             transferred, and its deliveries are ignored"
        );
        let alert = Alert::new(&pins::renamed(&known_as), None, &what, now);
        self.alerts.raise_once(alert).await
    }

    /// Only pins of configured names matter.
    async fn read(&self) -> Result<HashMap<RepositoryId, RepositoryName>, Failure> {
        let mut pins = HashMap::new();
        for (name, configured) in &self.configured {
            let pin: Option<PinRecord> = records::load(self.ledger.as_ref(), &PinRecord::key(name)).await?;
            let ids = configured.or(pin.map(|pin| pin.ids).unwrap_or_default());
            pins.extend(ids.id.map(|id| (id, name.clone())));
        }
        Ok(pins)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
