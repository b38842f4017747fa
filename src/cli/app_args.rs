//! The flags that select a GitHub App, for commands that are the App and for those that use its tokens.

use super::exit::{Exit, Failure};
use super::session::Session;
use super::{output, sources};
use crate::config::{Config, Credentials, Problems};
use anyhow::anyhow;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The flags that select a GitHub App.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AppArgs {
    /// Client id or app id of the GitHub App
    #[arg(long, value_name = "ID")]
    pub app_id: Option<String>,
    /// Installation of the app. By default the one of the repository's owner
    #[arg(long, alias = "installation-id", value_name = "ID")]
    pub app_installation_id: Option<u64>,
    /// File with the private key of the app
    #[arg(long, alias = "private-key-file", value_name = "FILE")]
    pub app_private_key_file: Option<PathBuf>,
    /// Root of GitHub's REST API. By default the configured one
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

impl AppArgs {
    /// Reports whether a flag names an App or an installation.
    pub(super) fn is_given(&self) -> bool {
        self.app_id.is_some() || self.app_private_key_file.is_some() || self.app_installation_id.is_some()
    }

    /// Returns the configuration with this App. If the flags name a whole App, a faulty configuration is reported and
    /// ignored.
    pub(super) fn configuration(&self, session: &Session) -> Result<Config, Failure> {
        let (config, problems) = self.load(session)?;
        if let Some(problems) = problems {
            let failure = Failure::from(problems);
            output::report(&format!("{failure}\njitgate: warning: the configuration is ignored"));
        }
        Ok(config)
    }

    /// Returns the credentials of the App of the flags, or of the configured one.
    pub(super) fn credentials(&self, session: &Session) -> Result<Credentials, Failure> {
        // A faulty configuration is reported by the caller.
        let (config, _) = self.load(session)?;
        match config.github.credentials {
            app @ Credentials::App { .. } => Ok(app),
            Credentials::Token(_) | Credentials::None => Err(no_app()),
        }
    }

    /// Returns the configuration with this App, and the problems because of which the configured one is ignored.
    fn load(&self, session: &Session) -> Result<(Config, Option<Problems>), Failure> {
        let overrides = self.overrides();
        let problems = match sources::configuration_over(&session.global, overrides.clone()) {
            Ok(loaded) => return Ok((loaded.config, None)),
            Err(problems) => problems,
        };
        if self.app_id.is_none() || self.app_private_key_file.is_none() {
            return Err(problems.into());
        }
        Ok((sources::without_a_file(overrides)?.config, Some(problems)))
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
        // The configured installation may be one of another app.
        let names_app = self.app_id.is_some().then_some(Value::Null);
        put(
            "installation_id",
            self.app_installation_id.map(|id| json!(id)).or(names_app),
        );
        Map::from_iter([("github".to_owned(), Value::Object(github))])
    }
}

/// Returns the failure of a command that needs an App.
pub(super) fn no_app() -> Failure {
    Failure::new(Exit::Configuration, anyhow!("no app is configured"))
        .remedy("use --app-id and --app-private-key-file, or create an app with `jitgate setup app`")
}
