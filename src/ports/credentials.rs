//! The credentials of a client of GitHub, and their replacement while it runs.

use super::Failure;
use secrecy::SecretString;

/// The credentials for GitHub.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A GitHub App.
    App {
        /// The client id or the id of the App.
        app_id: String,
        /// The App's RSA private key in PEM.
        private_key: SecretString,
        /// The only installation of the App; if absent, it is looked up for each owner.
        installation_id: Option<u64>,
    },
    /// A personal access token, for emergencies.
    Token(SecretString),
    /// No credentials: for a process that only checks whether GitHub is reachable.
    Anonymous,
}

/// A client whose credentials can be replaced.
pub trait ReplaceCredentials: Send + Sync + 'static {
    /// Uses other credentials for each request that begins from now on.
    ///
    /// # Errors
    /// Returns [`Failure::Permanent`] if the credentials cannot be used; the former ones remain.
    fn replace_credentials(&self, credentials: &Credentials) -> Result<(), Failure>;
}

/// A client without credentials.
impl ReplaceCredentials for () {
    fn replace_credentials(&self, _: &Credentials) -> Result<(), Failure> {
        Ok(())
    }
}
