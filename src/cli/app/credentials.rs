//! The GitHub App of a command, and its client.

use crate::cli::app_args::{AppArgs, no_app};
use crate::cli::exit::Failure;
use crate::cli::session::Session;
use crate::config::{Config, Credentials};
use crate::ports::GitHubApp;
use crate::runtime;
use std::sync::Arc;

/// The App of a command, and its client.
pub(super) struct Opened {
    pub(super) config: Config,
    /// The id that JWTs name.
    pub(super) app_id: String,
    /// The installation of the flags, otherwise the configured one.
    pub(super) installation: Option<u64>,
    pub(super) github: Arc<dyn GitHubApp>,
}

/// Opens GitHub with the App of the flags or of the configuration.
pub(super) fn open(args: &AppArgs, session: &Session) -> Result<Opened, Failure> {
    let config = args.configuration(session)?;
    let Credentials::App {
        app_id,
        installation_id,
        ..
    } = &config.github.credentials
    else {
        return Err(no_app());
    };
    Ok(Opened {
        app_id: app_id.clone(),
        installation: *installation_id,
        github: runtime::open_github_app(&config, &session.clock)?,
        config,
    })
}
