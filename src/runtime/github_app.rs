//! The clients for GitHub's API of an App.

use super::wiring::{WiringError, adapter, credentials};
use crate::adapters::github::Credentials;
use crate::config::Config;
use crate::ports::{AppManifests, Clock, GitHubApp};
use std::sync::Arc;

/// Creates the client of the configured App.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_github_app(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn GitHubApp>, WiringError> {
    let credentials = credentials(config).ok_or(WiringError::NoCredentials)?;
    Ok(Arc::new(adapter(config, credentials, clock, Arc::new(()))?))
}

/// Creates a client that creates an App, which needs no credentials.
///
/// # Errors
/// Fails if the client cannot be built.
pub fn open_app_manifests(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn AppManifests>, WiringError> {
    Ok(Arc::new(adapter(config, Credentials::Anonymous, clock, Arc::new(()))?))
}
