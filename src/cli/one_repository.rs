//! The repository of a command: `--repo OWNER/NAME`, or `--owner OWNER --repo NAME`.

use super::exit::{Exit, Failure};
use super::session::Session;
use super::table::or_dash;
use crate::app::settings::Repository;
use crate::config::Config;
use crate::domain::ids::RepositoryName;
use crate::runtime;
use anyhow::anyhow;

/// The flags that select a repository.
#[derive(Debug, clap::Args)]
pub struct OneRepository {
    /// Repository as OWNER/NAME, or as NAME with --owner
    #[arg(long, value_name = "REPOSITORY")]
    pub repo: Option<String>,
    /// Owner of the repository
    #[arg(long, value_name = "OWNER", requires = "repo")]
    pub owner: Option<String>,
}

impl OneRepository {
    /// Returns the selected repository of the configuration. Without flags it is the only configured one.
    pub(super) fn configured(&self, config: &Config) -> Result<Repository, Failure> {
        let named = self.name()?;
        let mut repositories = runtime::repositories(config);
        repositories.retain(|repository| {
            let is_named = |named: &RepositoryName| repository.name.matches(named.as_str());
            named.as_ref().is_none_or(is_named)
        });
        match (repositories.len(), repositories.pop(), named) {
            (1, Some(only), _) => Ok(only),
            (0, _, Some(named)) => {
                let remedy = format!("add a [[repositories]] table with full_name = \"{named}\"");
                Err(Failure::new(Exit::Configuration, anyhow!("{named} is not configured")).remedy(remedy))
            }
            (0, ..) => Err(
                Failure::new(Exit::Configuration, anyhow!("no repository is configured"))
                    .remedy("add a [[repositories]] table with full_name = \"OWNER/NAME\""),
            ),
            _ => Err(
                Failure::new(Exit::Usage, anyhow!("more than one repository is configured"))
                    .remedy("select one with --repo OWNER/NAME"),
            ),
        }
    }

    /// Returns the selected repository as the subject of a change; a dash if none is selected.
    pub(super) fn subject(&self, session: &Session) -> String {
        let only = || Some(self.configured(session.config().ok()?).ok()?.name);
        or_dash(self.name().ok().flatten().or_else(only))
    }

    /// Returns the selected repository, if any.
    pub(super) fn name(&self) -> Result<Option<RepositoryName>, Failure> {
        let Some(repo) = &self.repo else { return Ok(None) };
        let full_name = match (&self.owner, repo.split_once('/')) {
            (Some(owner), None) => format!("{owner}/{repo}"),
            (Some(owner), Some((named, _))) if !owner.eq_ignore_ascii_case(named) => {
                let what = anyhow!("--owner {owner} contradicts --repo {repo}");
                return Err(
                    Failure::new(Exit::Usage, what).remedy("use --owner OWNER --repo NAME, or --repo OWNER/NAME")
                );
            }
            _ => repo.clone(),
        };
        let Ok(name) = RepositoryName::parse(&full_name) else {
            let what = anyhow!("--repo {full_name} is not a repository name");
            return Err(Failure::new(Exit::Usage, what).remedy("use --repo OWNER/NAME, or --owner OWNER --repo NAME"));
        };
        Ok(Some(name))
    }
}
