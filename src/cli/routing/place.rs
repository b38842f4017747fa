//! The variable that a command is about, and the client for it.

use super::args::Target;
use crate::app::settings::Repository;
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::Session;
use crate::config::{Config, DEFAULT_VARIABLE};
use crate::domain::facts::Variable;
use crate::domain::ids::RepositoryName;
use crate::ports::GitHub;
use crate::ports::github::Purpose;
use crate::runtime;
use anyhow::anyhow;
use std::sync::Arc;

/// The variable of a repository at GitHub.
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) name: RepositoryName,
    /// The name of the variable.
    pub(super) variable: String,
    /// The configured repository; none if the configuration does not have it.
    pub(super) repository: Option<Repository>,
    pub(super) github: Arc<dyn GitHub>,
}

impl Place {
    /// Returns the place that the flags select. A repository that is named needs no configuration.
    pub(super) async fn of(target: &Target, session: &Session) -> Result<Self, Failure> {
        let config = target.credentials.configuration(session).await?;
        let repository = match target.which.name()? {
            None => Some(target.which.configured(&config)?),
            Some(named) => runtime::repositories(&config)
                .into_iter()
                .find(|repository| repository.name.matches(named.as_str())),
        };
        let name = repository.as_ref().map(|repository| repository.name.clone());
        let Some(name) = name.or(target.which.name()?) else {
            return Err(Failure::new(Exit::Usage, anyhow!("no repository is selected")).remedy("add --repo OWNER/NAME"));
        };
        let configured = repository.as_ref().map(|repository| repository.variable.clone());
        let variable = target.var_name.clone().or(configured);
        Ok(Self {
            variable: variable.unwrap_or_else(|| DEFAULT_VARIABLE.to_owned()),
            github: CredentialArgs::open(&config, session)?,
            config,
            name,
            repository,
        })
    }

    /// Returns the configured repository.
    pub(super) fn configured(&self) -> Result<&Repository, Failure> {
        self.repository.as_ref().ok_or_else(|| {
            let error = anyhow!("{} is not configured, so its runners are not known", self.name);
            let remedy = format!("add a [[repositories]] table with full_name = \"{}\"", self.name);
            Failure::new(Exit::Configuration, error).remedy(remedy)
        })
    }

    /// Returns the configured repository if this is its own variable. Changes of another one are not part of its history.
    pub(super) fn owner(&self) -> Option<&Repository> {
        let own = self.repository.as_ref();
        own.filter(|repository| repository.variable.eq_ignore_ascii_case(&self.variable))
    }

    /// Asks GitHub for the variable.
    pub(super) async fn ask(&self) -> Result<Option<Variable>, Failure> {
        let shown = self.github.variable(&self.name, &self.variable, Purpose::Admit).await;
        shown.map_err(|failure| {
            let error = anyhow!("{}: cannot read variable {}: {failure}", self.name, self.variable);
            let refused =
                "use credentials that can read the variables of the repository (--token-source), and check its name";
            Failure::of_github(error, &failure, refused)
        })
    }
}
