//! The repository or organization whose runners a command is about.

use super::args::{RunnerScopeArg, TargetArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::Session;
use crate::config::Config;
use crate::domain::base_runner::place::Place;
use crate::domain::ids::RepositoryName;
use crate::ports::github::RunnerScope;
use crate::runtime;
use anyhow::anyhow;

/// The place of runners at GitHub.
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) repository: RepositoryName,
    pub(super) scope: RunnerScope,
    pub(super) place: Place,
    /// Its page.
    pub(super) url: String,
}

impl Target {
    /// Returns the place that the flags select. A repository that is named needs no configuration.
    pub(super) async fn of(args: &TargetArgs, session: &Session) -> Result<Self, Failure> {
        let config = args.credentials.configuration(session).await?;
        let configured = match args.which.name()? {
            None => Some(args.which.configured(&config)?),
            Some(named) => runtime::repositories(&config)
                .into_iter()
                .find(|repository| repository.name.matches(named.as_str())),
        };
        let repository = configured.as_ref().map(|repository| repository.name.clone());
        let Some(repository) = repository.or(args.which.name()?) else {
            return Err(Failure::new(Exit::Usage, anyhow!("no repository is selected")).remedy("add --repo OWNER/NAME"));
        };
        let scope = match args.scope {
            Some(RunnerScopeArg::Repo) => RunnerScope::Repository(repository.clone()),
            Some(RunnerScopeArg::Org) => RunnerScope::Organization(repository.clone()),
            None => configured.map_or_else(
                || RunnerScope::Repository(repository.clone()),
                |repository| repository.scope,
            ),
        };
        Ok(Self::at(config, repository, scope))
    }

    /// Returns the place of the runners of a repository.
    pub(super) fn at(config: Config, repository: RepositoryName, scope: RunnerScope) -> Self {
        let place = match &scope {
            RunnerScope::Repository(name) => Place::Repository(name.clone()),
            RunnerScope::Organization(name) => Place::Organization(name.owner().to_owned()),
        };
        let web_url = config.github.web_url.trim_end_matches('/');
        let url = match &place {
            Place::Repository(name) => format!("{web_url}/{name}"),
            Place::Organization(login) => format!("{web_url}/{login}"),
        };
        Self {
            config,
            repository,
            scope,
            place,
            url,
        }
    }
}
