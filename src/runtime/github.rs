//! Opens the connections to GitHub with the configured credentials, one for each port.

use super::wiring_error::WiringError;
use crate::adapters::github::{self, GitHubAdapter};
use crate::config::{Config, Credentials};
use crate::ports::{Administration, AppManifests, Clock, Examination, GitHub, GitHubApp, Observer, RegistrationTokens};
use std::sync::Arc;

/// Creates the client of the configured GitHub.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_github(
    config: &Config,
    clock: &Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn GitHub>, WiringError> {
    Ok(connect(config, configured(config)?, clock, observer)?)
}

/// Creates the client of the configured GitHub, without credentials if none are configured.
///
/// # Errors
/// Fails if the client cannot be built.
pub fn open_github_or_anonymous(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn GitHub>, WiringError> {
    Ok(connect(config, credentials(config), clock, Arc::new(()))?)
}

/// Creates the client for the settings of repositories and organizations.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_administration(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Administration>, WiringError> {
    Ok(connect(config, configured(config)?, clock, Arc::new(()))?)
}

/// Creates the client for registration tokens.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_registration_tokens(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn RegistrationTokens>, WiringError> {
    Ok(connect(config, configured(config)?, clock, Arc::new(()))?)
}

/// Creates the client for the questions of `verify`.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_examination(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Examination>, WiringError> {
    Ok(connect(config, configured(config)?, clock, Arc::new(()))?)
}

/// Creates the client of the configured App.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_github_app(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn GitHubApp>, WiringError> {
    Ok(connect(config, configured(config)?, clock, Arc::new(()))?)
}

/// Creates a client that creates an App, which needs no credentials.
///
/// # Errors
/// Fails if the client cannot be built.
pub fn open_app_manifests(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn AppManifests>, WiringError> {
    Ok(connect(config, github::Credentials::Anonymous, clock, Arc::new(()))?)
}

fn configured(config: &Config) -> Result<github::Credentials, WiringError> {
    match credentials(config) {
        github::Credentials::Anonymous => Err(WiringError::NoCredentials),
        credentials => Ok(credentials),
    }
}

/// Returns the credentials. An ingress has none, because it sends no requests to GitHub.
pub(super) fn credentials(config: &Config) -> github::Credentials {
    match &config.github.credentials {
        Credentials::App {
            app_id,
            private_key,
            installation_id,
        } => github::Credentials::App {
            app_id: app_id.clone(),
            private_key: private_key.clone(),
            installation_id: *installation_id,
        },
        Credentials::Token(token) => github::Credentials::Token(token.clone()),
        Credentials::None => github::Credentials::Anonymous,
    }
}

/// Creates a client with these credentials.
pub(super) fn connect(
    config: &Config,
    credentials: github::Credentials,
    clock: &Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<GitHubAdapter>, WiringError> {
    let settings = github::Settings {
        api_url: config.github.api_url.clone(),
        credentials,
        proxies: config.github.proxies.clone(),
        connect_timeout: config.github.connect_timeout,
        timeout: config.github.timeout,
    };
    let adapter = GitHubAdapter::observed(&settings, clock.clone(), observer).map_err(WiringError::GitHub)?;
    Ok(Arc::new(adapter))
}
