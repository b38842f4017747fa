//! The configured store, opened for a command beside a process that serves.

use super::args::Global;
use super::exit::{Exit, Failure};
use super::{logging, sources};
use crate::adapters::clock::SystemClock;
use crate::adapters::sqlite::OpenError;
use crate::config::{AdminListen, Config};
use crate::ports;
use crate::runtime::{self, Store, WiringError};
use std::sync::Arc;

/// Runs a command that looks into the store.
pub(super) fn with<T>(
    global: &Global,
    command: impl AsyncFnOnce(&Config, &Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    logging::on_request(global);
    let config = sources::configuration(global)?.config;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, error))?;
    runtime.block_on(async {
        let store =
            runtime::open_store_beside(&config, Arc::new(SystemClock)).map_err(|error| refused(error, &config))?;
        command(&config, &store).await
    })
}

fn refused(error: WiringError, config: &Config) -> Failure {
    let inside = matches!(error, WiringError::InsideServe);
    let failure = Failure::from(error);
    if inside {
        failure.remedy(ask_the_admin_api(config))
    } else {
        failure
    }
}

fn ask_the_admin_api(config: &Config) -> String {
    let server = &config.server;
    let address = match &server.admin_listen {
        AdminListen::Tcp(address) => format!("http://{address}"),
        AdminListen::Unix(path) => format!("http://localhost by the socket {} (curl --unix-socket)", path.display()),
    };
    format!(
        "ask {address} for /api/v1/deliveries, /api/v1/jobs/ID, /api/v1/runners and /api/v1/alerts, with the token in {}; or set store.url to \
         sqlite:PATH",
        server.admin_token_file.display()
    )
}

impl From<WiringError> for Failure {
    fn from(error: WiringError) -> Self {
        let exit = match &error {
            WiringError::Sqlite(OpenError::Held { .. }) => Exit::Locked,
            WiringError::Sqlite(_) | WiringError::InsideServe => Exit::Store,
            WiringError::Listen(error) if error.is_temporary() => Exit::AddressInUse,
            WiringError::Redis(_)
            | WiringError::NoCredentials
            | WiringError::GitHub(_)
            | WiringError::Alerts(_)
            | WiringError::Listen(_) => Exit::Configuration,
        };
        let is_listener = matches!(error, WiringError::Listen(_));
        let failure = Self::new(exit, error);
        match exit {
            _ if is_listener => {
                failure.remedy("stop what listens there, or change server.listen or server.admin_listen")
            }
            Exit::Locked => failure.remedy("stop that one first; commands such as `jitgate why` work beside it"),
            _ => failure,
        }
    }
}

/// The store did not answer.
pub(super) fn failed(failure: ports::Failure) -> Failure {
    Failure::new(Exit::Store, failure)
        .remedy("see that the server of store.url runs and can be reached; `jitgate config check` asks it")
}
