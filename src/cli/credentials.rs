//! The credentials of a command for GitHub: from flags, the environment, a file or the `gh` program, otherwise from the
//! configuration, otherwise from `GH_TOKEN`. A token is never an argument, because other users of the machine can read those.

use super::app_args::AppArgs;
use super::exit::{Exit, Failure};
use super::session::Session;
use super::{output, sources};
use crate::adapters::tools::ProcessTools;
use crate::config::{Config, Credentials, Loaded, read_secret_file};
use crate::domain::text::one_of;
use crate::ports::tools::ToolCall;
use crate::ports::{GitHub, Tools};
use crate::runtime;
use anyhow::anyhow;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The default environment variable with a token.
const TOKEN_ENV_VAR: &str = "GH_TOKEN";
/// Time that the `gh` program may take.
const GH_TIMEOUT: Duration = Duration::from_secs(10);

/// The source of the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    App,
    Env,
    File,
    Gh,
}

impl TokenSource {
    const ALL: [Self; 4] = [Self::App, Self::Env, Self::File, Self::Gh];

    fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Env => "env",
            Self::File => "file",
            Self::Gh => "gh",
        }
    }
}

/// The flags that select the credentials.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CredentialArgs {
    /// Source of the credentials: app, env, file or gh. By default the one that another flag names, otherwise the configuration,
    /// otherwise the environment variable `GH_TOKEN`
    #[arg(long, value_name = "SOURCE", value_parser = token_source)]
    pub token_source: Option<TokenSource>,
    /// Environment variable with the token; with `--token-source env` the default is `GH_TOKEN`
    #[arg(long, value_name = "NAME")]
    pub token_env_var: Option<String>,
    /// File with the token, which only its owner can read
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub app: AppArgs,
}

fn token_source(word: &str) -> Result<TokenSource, String> {
    one_of(&TokenSource::ALL, TokenSource::as_str, word)
}

impl CredentialArgs {
    /// Returns the configuration with these credentials. With credentials from flags, a faulty configuration is reported
    /// and replaced by the defaults, so that it is never in the way of an emergency.
    ///
    /// # Errors
    /// If the configuration or the credentials cannot be used.
    pub(super) async fn configuration(&self, session: &Session) -> Result<Config, Failure> {
        // Without any other credential, the variable that other tools use is enough.
        let from_environment = || sources::variable(TOKEN_ENV_VAR).map(|_| TokenSource::Env);
        let source = self.source()?;
        let overrides = self.overrides();
        let mut config = match sources::configuration_over(&session.global, overrides.clone()) {
            Ok(loaded) => loaded.config,
            Err(problems) if source.or_else(from_environment).is_some() => {
                let failure = Failure::from(problems);
                output::report(&format!("{failure}\njitgate: warning: the configuration is ignored"));
                sources::without_a_file(overrides)?.config
            }
            Err(problems) => return Err(problems.into()),
        };
        self.choose(source, &mut config, session).await?;
        Ok(config)
    }

    /// Returns the configuration with these credentials and with further overrides. A faulty configuration is an error,
    /// because this one is also about something else than credentials.
    ///
    /// # Errors
    /// If the configuration or the credentials cannot be used.
    pub(super) async fn strict(&self, session: &Session, more: Map<String, Value>) -> Result<Loaded, Failure> {
        let source = self.source()?;
        let mut overrides = self.overrides();
        overrides.extend(more);
        let mut loaded = sources::configuration_over(&session.global, overrides)?;
        self.choose(source, &mut loaded.config, session).await?;
        Ok(loaded)
    }

    /// Sets the credentials of a source, and without any other credential those of `GH_TOKEN`.
    async fn choose(
        &self,
        mut source: Option<TokenSource>,
        config: &mut Config,
        session: &Session,
    ) -> Result<(), Failure> {
        if matches!(config.github.credentials, Credentials::None) {
            source = source.or_else(|| sources::variable(TOKEN_ENV_VAR).map(|_| TokenSource::Env));
        }
        config.github.credentials = match source {
            None => return Ok(()),
            Some(TokenSource::App) => self.app.credentials(session)?,
            Some(TokenSource::Env) => token_of_environment(self.token_env_var.as_deref().unwrap_or(TOKEN_ENV_VAR))?,
            Some(TokenSource::File) => token_of_file(self.token_file.as_deref())?,
            Some(TokenSource::Gh) => token_of_gh(&config.github.web_url).await?,
        };
        Ok(())
    }

    /// Returns the source that the flags select.
    fn source(&self) -> Result<Option<TokenSource>, Failure> {
        let named = [
            (self.token_env_var.is_some(), TokenSource::Env),
            (self.token_file.is_some(), TokenSource::File),
            (self.app.is_given(), TokenSource::App),
        ];
        let named: Vec<TokenSource> = named.iter().filter(|(is_named, _)| *is_named).map(|it| it.1).collect();
        let chosen = self.token_source.or(named.first().copied());
        if let Some(other) = named.iter().find(|source| Some(**source) != chosen) {
            let chosen = chosen.map_or("", TokenSource::as_str);
            let error = anyhow!("the flags select the credentials {chosen} and {}", other.as_str());
            return Err(Failure::new(Exit::Usage, error).remedy("keep the flags of one source"));
        }
        Ok(chosen)
    }

    fn overrides(&self) -> Map<String, Value> {
        let url = self.app.api_url.as_ref().map(|url| json!({"github": {"api_url": url}}));
        url.and_then(|url| url.as_object().cloned()).unwrap_or_default()
    }

    /// Opens GitHub with the credentials of a configuration.
    pub(super) fn open(config: &Config, session: &Session) -> Result<Arc<dyn GitHub>, Failure> {
        runtime::open_github(config, &session.clock, Arc::new(())).map_err(|error| {
            Failure::from(error).remedy("use --token-env-var GH_TOKEN, --token-file FILE, --token-source gh or an app")
        })
    }
}

fn missing(what: &str, remedy: &str) -> Failure {
    Failure::new(Exit::Configuration, anyhow!("{what}")).remedy(remedy.to_owned())
}

fn token_of_environment(name: &str) -> Result<Credentials, Failure> {
    let token = sources::variable(name).filter(|token| !token.trim().is_empty());
    match token {
        Some(token) => Ok(Credentials::Token(SecretString::from(token.trim()))),
        None => Err(missing(
            &format!("the environment variable {name} is missing or empty"),
            &format!("export {name} with a token that can write the repository's variables"),
        )),
    }
}

fn token_of_file(path: Option<&Path>) -> Result<Credentials, Failure> {
    let Some(path) = path else {
        return Err(
            Failure::new(Exit::Usage, anyhow!("--token-source file requires --token-file"))
                .remedy("add --token-file FILE"),
        );
    };
    let token = read_secret_file(path);
    token.map(Credentials::Token).map_err(|error| {
        let remedy = error.remedy(path);
        missing(&format!("{}: {error}", path.display()), &remedy)
    })
}

/// Asks the `gh` program for its token.
async fn token_of_gh(web_url: &str) -> Result<Credentials, Failure> {
    let failed = |why: String| {
        missing(
            &format!("`gh auth token` failed: {why}"),
            "install gh and run `gh auth login`, or use another source",
        )
    };
    let host = web_url.split("://").nth(1).unwrap_or(web_url);
    let call = ToolCall::new("gh", GH_TIMEOUT).args(["auth", "token", "--hostname", host]);
    let output = ProcessTools
        .run(&call)
        .await
        .map_err(|error| failed(error.to_string()))?;
    match output.stdout.trim() {
        token if output.is_success() && !token.is_empty() => Ok(Credentials::Token(SecretString::from(token))),
        _ => Err(failed(output.last_line().unwrap_or("it prints no token").to_owned())),
    }
}
