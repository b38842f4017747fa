//! The credentials of a running worker: read again in each interval, because a refreshed token or a new private key comes
//! as a changed file.

use super::args::WorkerArgs;
use crate::cli::credentials::TokenSource;
use crate::cli::exit::Failure;
use crate::cli::session::Session;
use crate::config::{Config, Credentials};
use crate::runtime::Process;
use secrecy::ExposeSecret;
use serde_json::Map;

/// The credentials in use.
pub(super) struct CredentialsWatch<'a> {
    args: &'a WorkerArgs,
    session: &'a Session,
    used: Credentials,
    /// The last reported fault, which is reported once.
    fault: Option<String>,
}

impl<'a> CredentialsWatch<'a> {
    pub(super) fn new(args: &'a WorkerArgs, session: &'a Session, config: &Config) -> Self {
        Self {
            args,
            session,
            used: config.github.credentials.clone(),
            fault: None,
        }
    }

    /// Reads the credentials, and hands changed ones to the process. Faulty ones change nothing.
    pub(super) async fn look(&mut self, process: &Process) {
        let Some(looked) = self.read().await else { return };
        let replaced = looked.map_err(|failure| failure.to_string()).and_then(|config| {
            if is_same(&self.used, &config.github.credentials) {
                return Ok(None);
            }
            let replaced = process
                .replace_credentials(&config)
                .map_err(|failure| failure.to_string());
            replaced.map(|()| Some(config.github.credentials))
        });
        match replaced {
            Ok(None) => self.fault = None,
            Ok(Some(credentials)) => {
                tracing::info!("the credentials for GitHub have changed, and the new ones are in use");
                self.used = credentials;
                self.fault = None;
            }
            Err(fault) if self.fault.as_ref() != Some(&fault) => {
                tracing::warn!(
                    "the credentials for GitHub cannot be read again, and the former ones stay in use: {fault}"
                );
                self.fault = Some(fault);
            }
            Err(_) => {}
        }
    }

    /// Returns none for credentials that a file does not hold: the environment of a process does not change.
    async fn read(&self) -> Option<Result<Config, Failure>> {
        let credentials = &self.args.credentials;
        if matches!(credentials.token_source, Some(TokenSource::Env | TokenSource::Gh))
            || credentials.token_env_var.is_some()
        {
            return None;
        }
        let loaded = credentials.strict(self.session, Map::new()).await;
        Some(loaded.map(|loaded| loaded.config))
    }
}

fn is_same(one: &Credentials, other: &Credentials) -> bool {
    match (one, other) {
        (
            Credentials::App {
                app_id,
                private_key,
                installation_id,
            },
            Credentials::App {
                app_id: other_id,
                private_key: other_key,
                installation_id: other_installation,
            },
        ) => {
            app_id == other_id
                && installation_id == other_installation
                && private_key.expose_secret() == other_key.expose_secret()
        }
        (Credentials::Token(one), Credentials::Token(other)) => one.expose_secret() == other.expose_secret(),
        (Credentials::None, Credentials::None) => true,
        _ => false,
    }
}
