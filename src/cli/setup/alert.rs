//! The standing alert about a token that is not refreshed.

use super::task::Task;
use crate::adapters::sqlite::OpenError;
use crate::app::Alerts;
use crate::app::alerts::AlertFilter;
use crate::cli::exit::Failure;
use crate::cli::{output, sources};
use crate::domain::alert::{Alert, AlertKey, AlertKind, AlertState};
use crate::domain::units::Wanted;
use crate::runtime::{self, WiringError};
use std::sync::Arc;
use std::time::Duration;

/// Time in which a supervisor that has just started must create its store.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval between two looks for the store.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

fn key() -> AlertKey {
    AlertKey::new(AlertKind::TokenRefreshDisabled, None)
}

/// Reports whether the alert is open. A store that does not exist yet has no alert.
pub(super) async fn is_open(task: &Task<'_>, wanted: &Wanted) -> bool {
    if wanted.alert.is_none() {
        return false;
    }
    let alerts = match open(task) {
        Ok(alerts) => alerts,
        Err(Unopened::NotYet) => return false,
        Err(Unopened::Failed(failure)) => {
            output::report(&failure.as_warning());
            return false;
        }
    };
    let filter = AlertFilter {
        states: vec![AlertState::Open, AlertState::Acked],
        kinds: vec![AlertKind::TokenRefreshDisabled],
        repository: None,
    };
    match alerts.list(&filter, 1).await {
        Ok(open) => !open.is_empty(),
        Err(failure) => {
            output::report(&Failure::of_store(failure).as_warning());
            false
        }
    }
}

/// Raises the alert.
pub(super) async fn raise(task: &Task<'_>) -> Result<(), Failure> {
    let now = task.session.clock.now();
    let origin = task.args.person.origin(now);
    let why = origin.why.map_or_else(String::new, |why| format!(": {why}"));
    let by = origin.by.unwrap_or_default();
    let summary = format!("the token of the runner pool expires within an hour and is not refreshed, by {by}{why}");
    let alert = Alert::new(&key(), None, &summary, now);
    created(task).await?.raise(alert).await.map_err(Failure::of_store)
}

/// Ends the alert.
pub(super) async fn end(task: &Task<'_>) -> Result<(), Failure> {
    created(task).await?.over(&key(), None).await.map_err(Failure::of_store)
}

/// Opens the alerts of the store, which the supervisor may be about to create.
async fn created(task: &Task<'_>) -> Result<Arc<Alerts>, Failure> {
    let deadline = tokio::time::Instant::now() + STORE_TIMEOUT;
    loop {
        match open_raw(task) {
            Ok(alerts) => return Ok(alerts),
            Err(Raw::Wiring(WiringError::Sqlite(OpenError::Missing { .. })))
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            Err(raw) => {
                return Err(raw
                    .failure()
                    .remedy("start the supervisor, which creates the store, and run this command again"));
            }
        }
    }
}

enum Unopened {
    NotYet,
    Failed(Failure),
}

enum Raw {
    Wiring(WiringError),
    Other(Failure),
}

impl Raw {
    fn failure(self) -> Failure {
        match self {
            Self::Wiring(error) => error.into(),
            Self::Other(failure) => failure,
        }
    }
}

fn open(task: &Task<'_>) -> Result<Arc<Alerts>, Unopened> {
    open_raw(task).map_err(|raw| match raw {
        Raw::Wiring(WiringError::Sqlite(OpenError::Missing { .. })) => Unopened::NotYet,
        raw => Unopened::Failed(raw.failure()),
    })
}

/// Opens the store of the units.
fn open_raw(task: &Task<'_>) -> Result<Arc<Alerts>, Raw> {
    let loaded = sources::configuration_over(&task.session.global, task.settings_of_units());
    let config = loaded.map_err(|problems| Raw::Other(problems.into()))?.config;
    let clock = &task.session.clock;
    let store = runtime::open_store_beside(&config, Arc::clone(clock)).map_err(Raw::Wiring)?;
    runtime::open_alerts(&config, clock, &store, Arc::new(())).map_err(Raw::Wiring)
}
