//! The session of a command: configuration, store, GitHub and alerts, each opened on first use.

use super::exit::Failure;
use super::global::Global;
use super::{output, sources};
use crate::adapters::clock::SystemClock;
use crate::app::Alerts;
use crate::config::{AdminListen, Config, Loaded};
use crate::ports::{Clock, GitHub};
use crate::runtime::{self, Store, WiringError};
use serde::Serialize;
use std::cell::{Cell, OnceCell};
use std::io::{self, Write};
use std::sync::Arc;

pub(super) struct Session {
    pub(super) global: Global,
    pub(super) clock: Arc<dyn Clock>,
    loaded: OnceCell<Loaded>,
    store: OnceCell<Store>,
    unchanged: Cell<bool>,
}

impl Session {
    pub(super) fn new(global: Global) -> Self {
        Self {
            global,
            clock: Arc::new(SystemClock),
            loaded: OnceCell::new(),
            store: OnceCell::new(),
            unchanged: Cell::new(false),
        }
    }

    /// Returns the configuration with its origins and warnings.
    pub(super) fn loaded(&self) -> Result<&Loaded, Failure> {
        once(&self.loaded, || Ok(sources::configuration(&self.global)?))
    }

    pub(super) fn config(&self) -> Result<&Config, Failure> {
        Ok(&self.loaded()?.config)
    }

    /// Returns the configured store, opened beside a process that serves.
    pub(super) fn store(&self) -> Result<&Store, Failure> {
        once(&self.store, || {
            let config = self.config()?;
            runtime::open_store_beside(config, Arc::clone(&self.clock)).map_err(|error| refused(error, config))
        })
    }

    pub(super) fn github(&self) -> Result<Arc<dyn GitHub>, Failure> {
        Ok(runtime::open_github(self.config()?, &self.clock, Arc::new(()))?)
    }

    pub(super) fn alerts(&self) -> Result<Arc<Alerts>, Failure> {
        let (config, store) = (self.config()?, self.store()?);
        Ok(runtime::open_alerts(config, &self.clock, store, Arc::new(()))?)
    }

    /// Notes that the command found nothing to change.
    pub(super) fn note_unchanged(&self) {
        self.unchanged.set(true);
    }

    /// Reports whether the command found nothing to change.
    pub(super) fn is_unchanged(&self) -> bool {
        self.unchanged.get()
    }

    /// Prints the answer as JSON with `--json`, otherwise as text.
    pub(super) fn answer(
        &self,
        json: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.global.json {
            output::print_json(json)
        } else {
            output::print(text)
        }
    }
}

fn once<T>(cell: &OnceCell<T>, open: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let opened = open()?;
    Ok(cell.get_or_init(|| opened))
}

fn refused(error: WiringError, config: &Config) -> Failure {
    let is_inside = matches!(error, WiringError::InsideServe);
    let failure = Failure::from(error);
    if is_inside {
        failure.remedy(use_the_admin_api(config))
    } else {
        failure
    }
}

fn use_the_admin_api(config: &Config) -> String {
    let server = &config.server;
    let address = match &server.admin_listen {
        AdminListen::Tcp(address) => format!("http://{address}"),
        AdminListen::Unix(path) => format!("http://localhost by the socket {} (curl --unix-socket)", path.display()),
    };
    format!(
        "query {address} for /api/v1/deliveries, /api/v1/jobs/ID, /api/v1/runners and /api/v1/alerts, with the token in {}; or set store.url to \
         sqlite:PATH",
        server.admin_token_file.display()
    )
}
