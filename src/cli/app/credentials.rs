//! The credentials of a GitHub App: from flags, otherwise from the configuration.

use crate::cli::exit::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::{output, sources};
use crate::config::{Config, Credentials};
use crate::ports::GitHubApp;
use crate::runtime;
use anyhow::anyhow;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// The flags that select the App.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AppArgs {
    /// Client id or app id of the GitHub App. By default the configured app
    #[arg(long, value_name = "ID")]
    pub app_id: Option<String>,
    /// File with the private key of the app, which only its owner can read and which is outside of any git work tree
    #[arg(long, visible_alias = "private-key-file", value_name = "FILE")]
    pub app_private_key_file: Option<PathBuf>,
    /// Root of GitHub's REST API. By default the configured one
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

/// The App of a command, and its client.
pub(super) struct Opened {
    pub(super) config: Config,
    /// The id that JWTs name.
    pub(super) app_id: String,
    pub(super) installation: Option<u64>,
    pub(super) github: Arc<dyn GitHubApp>,
}

impl AppArgs {
    /// Opens GitHub with the App of the flags or of the configuration.
    pub(super) fn open(&self, session: &Session) -> Result<Opened, Failure> {
        let config = self.configuration(session)?;
        let Credentials::App {
            app_id,
            installation_id,
            ..
        } = &config.github.credentials
        else {
            let failure = Failure::new(Exit::Configuration, anyhow!("no app is configured"));
            return Err(
                failure.remedy("use --app-id and --app-private-key-file, or create an app with `jitgate setup app`")
            );
        };
        Ok(Opened {
            app_id: app_id.clone(),
            installation: *installation_id,
            github: runtime::open_github_app(&config, &session.clock)?,
            config,
        })
    }

    /// Returns the configuration with this App. If the flags name a whole App, a faulty configuration is reported and
    /// ignored.
    pub(in crate::cli) fn configuration(&self, session: &Session) -> Result<Config, Failure> {
        let overrides = self.overrides();
        let problems = match sources::configuration_over(&session.global, overrides.clone()) {
            Ok(loaded) => return Ok(loaded.config),
            Err(problems) => problems,
        };
        if self.app_id.is_none() || self.app_private_key_file.is_none() {
            return Err(problems.into());
        }
        let config = sources::without_a_file(overrides)?.config;
        let failure = Failure::from(problems);
        output::report(&format!("{failure}\njitgate: warning: the configuration is ignored"));
        Ok(config)
    }

    fn overrides(&self) -> Map<String, Value> {
        // A token file, which may be the one that is refreshed, does not hide the App.
        let mut github = Map::from_iter([("token_file".to_owned(), Value::Null)]);
        let mut put = |key: &str, value: Option<Value>| github.extend(value.map(|value| (key.to_owned(), value)));
        put("api_url", self.api_url.as_ref().map(|url| json!(url)));
        put("app_id", self.app_id.as_ref().map(|id| json!(id)));
        put(
            "private_key_file",
            self.app_private_key_file.as_ref().map(|path| json!(path)),
        );
        Map::from_iter([("github".to_owned(), Value::Object(github))])
    }
}
