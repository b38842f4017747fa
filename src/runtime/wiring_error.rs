//! The failure to build a part of the process.

use crate::adapters::sqlite::OpenError;
use crate::adapters::{alerts, github};
use crate::http::ListenError;
use crate::ports::Failure;

/// The reason why a part could not be built.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The store is in the memory of another process.
    #[error("store.url is memory:; such a store exists only inside the process that serves")]
    InsideServe,
    /// The database was not opened.
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    /// The Redis URL is invalid.
    #[error(transparent)]
    Redis(Failure),
    /// No credentials are configured.
    #[error("missing GitHub credentials; set github.app_id with github.private_key_file, or github.token_file")]
    NoCredentials,
    #[error("failed to build the GitHub client")]
    GitHub(#[source] github::SetupError),
    #[error(transparent)]
    Alerts(#[from] alerts::SetupError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}
