//! The clients for the parts of GitHub's API that only commands use.

use super::wiring::{WiringError, adapter, credentials};
use crate::adapters::github::{Credentials, GitHubAdapter};
use crate::config::Config;
use crate::ports::{Clock, GitHub, RegistrationTokens};
use std::sync::Arc;

/// Creates the client for registration tokens.
///
/// # Errors
/// Fails if no credentials are configured, or the client cannot be built.
pub fn open_registration_tokens(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn RegistrationTokens>, WiringError> {
    Ok(with_credentials(config, clock)?)
}

/// Creates the client of the configured GitHub, without credentials if none are configured.
///
/// # Errors
/// Fails if the client cannot be built.
pub fn open_github_or_anonymous(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn GitHub>, WiringError> {
    let credentials = credentials(config).unwrap_or(Credentials::Anonymous);
    Ok(Arc::new(adapter(config, credentials, clock, Arc::new(()))?))
}

fn with_credentials(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<GitHubAdapter>, WiringError> {
    let credentials = credentials(config).ok_or(WiringError::NoCredentials)?;
    Ok(Arc::new(adapter(config, credentials, clock, Arc::new(()))?))
}
