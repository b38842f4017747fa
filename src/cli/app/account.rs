//! The installation of a command: of a repository's owner, an organization, a person, or with an id.

use super::credentials::Opened;
use super::refused::refused;
use crate::cli::exit::{Exit, Failure};
use crate::cli::one_repository::OneRepository;
use crate::config::Config;
use crate::domain::ids::RepositoryName;
use crate::ports::github_app::{Installation, InstalledOn};
use anyhow::anyhow;

/// The flags that select an installation.
#[derive(Debug, clap::Args)]
pub struct AccountArgs {
    #[command(flatten)]
    pub which: OneRepository,
    /// Organization that the app is installed on
    #[arg(long, value_name = "LOGIN", conflicts_with_all = ["repo", "user"])]
    pub org: Option<String>,
    /// Personal account that the app is installed on
    #[arg(long, value_name = "LOGIN", conflicts_with = "repo")]
    pub user: Option<String>,
}

/// The selected installation, and the repositories that a token is limited to.
pub(super) struct Selected {
    pub(super) on: InstalledOn,
    /// Names without owner; empty for all of the installation.
    pub(super) repositories: Vec<String>,
}

impl AccountArgs {
    /// Returns the installation that the flags select, otherwise that of the configured repositories.
    pub(super) fn select(&self, config: &Config, id: Option<u64>) -> Result<Selected, Failure> {
        let named = self.which.name()?;
        let account = match (&named, &self.org, &self.user) {
            (Some(name), ..) => Some(InstalledOn::Repository(name.clone())),
            (None, Some(login), _) => Some(InstalledOn::Organization(checked("--org", login)?)),
            (None, None, Some(login)) => Some(InstalledOn::User(checked("--user", login)?)),
            (None, None, None) => None,
        };
        let configured = || config.repositories.iter().map(|repository| &repository.name);
        let repositories = match (&named, &account) {
            (Some(name), _) => vec![name.name().to_owned()],
            (None, Some(_)) => Vec::new(),
            (None, None) => configured().map(|name| name.name().to_owned()).collect(),
        };
        let mut owners: Vec<String> = configured().map(|name| name.owner().to_ascii_lowercase()).collect();
        owners.sort();
        owners.dedup();
        let on = match (id, account, owners.len(), configured().next()) {
            // The id is enough, and the names only limit the token.
            (Some(id), ..) => InstalledOn::Installation(id),
            (None, Some(account), ..) => account,
            (None, None, 1, Some(name)) => InstalledOn::Repository(name.clone()),
            (None, None, 2.., _) => return Err(nothing_selected("the configured repositories have several owners")),
            (None, None, ..) => return Err(nothing_selected("no repository is configured")),
        };
        // The installation of an id belongs to one owner.
        let repositories = if named.is_none() && owners.len() > 1 {
            Vec::new()
        } else {
            repositories
        };
        Ok(Selected { on, repositories })
    }
}

fn checked(flag: &str, login: &str) -> Result<String, Failure> {
    match RepositoryName::parse(&format!("{login}/x")) {
        Ok(_) => Ok(login.to_owned()),
        Err(_) => {
            let error = anyhow!("{flag} {login} is not the login of an account");
            Err(Failure::new(Exit::Usage, error).remedy("use the name in the address of the account's page"))
        }
    }
}

fn nothing_selected(why: &str) -> Failure {
    Failure::new(Exit::Usage, anyhow!("no installation is selected, and {why}"))
        .remedy("add --repo OWNER/NAME, --org LOGIN, --user LOGIN or --app-installation-id ID")
}

/// Asks GitHub for an installation that can be used.
pub(super) async fn find(opened: &Opened, on: &InstalledOn) -> Result<Installation, Failure> {
    let found = opened.github.installation(on).await;
    let what = format!("find the installation of app {} for {on}", opened.app_id);
    let Some(installation) = found.map_err(|failure| refused(&what, &failure))? else {
        let error = anyhow!("app {} has no installation for {on}", opened.app_id);
        return Err(Failure::new(Exit::Github, error).remedy(
            "install the app there, on the page `Install App` of its settings, and check the spelling of the name",
        ));
    };
    if installation.is_suspended {
        let error = anyhow!("installation {} of app {} is suspended", installation.id, opened.app_id);
        return Err(Failure::new(Exit::Github, error).remedy("unsuspend it on the settings page of the account"));
    }
    Ok(installation)
}
