//! `[trust]`: the rules for trusted pull requests.

use super::check::{Check, Reported};
use super::routing::globs;
use crate::domain::policy::{AllowedBot, CommitsBy, Permission, TrustPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrust {
    /// Author associations that pass the routing rule, by GitHub's names.
    #[schemars(length(min = 1))]
    associations: Vec<RawAssociation>,
    /// Permission that author, actor and triggering actor need before a runner is created.
    min_permission: RawPermission,
    /// Bots that are exempt from the bot and permission rules.
    allow_bots: Vec<RawBot>,
    /// Requires a verified signature on every commit of the pull request.
    require_verified_commits: bool,
}

/// A bot that is exempt from the bot and permission rules.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawBot {
    /// Login of the bot, such as `dependabot[bot]`.
    login: String,
    /// Globs of the repository's branches that the bot may run code from.
    #[schemars(length(min = 1))]
    branches: Vec<String>,
    /// Permitted authors of the commits in its pull requests.
    commits_by: CommitsBy,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum RawAssociation {
    Owner,
    Member,
    Collaborator,
    Contributor,
    FirstTimer,
    FirstTimeContributor,
    Mannequin,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawPermission {
    Read,
    Write,
    Admin,
}

impl RawTrust {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<TrustPolicy, Reported> {
        let insiders = [
            RawAssociation::Owner,
            RawAssociation::Member,
            RawAssociation::Collaborator,
        ];
        if self
            .associations
            .iter()
            .any(|association| !insiders.contains(association))
        {
            let remedy = "use OWNER, MEMBER and COLLABORATOR only";
            check.warn("trust.associations", "accepts outsiders in the routing rule", remedy);
        }
        let min_permission = match self.min_permission {
            RawPermission::Read => Permission::Read,
            RawPermission::Write => Permission::Write,
            RawPermission::Admin => Permission::Admin,
        };
        if min_permission < Permission::Write {
            let remedy = "use \"write\"; anyone can read a public repository";
            check.warn(
                "trust.min_permission",
                "permits runners for users without write access",
                remedy,
            );
        }
        let bots: Vec<_> = self.allow_bots.into_iter().map(|bot| bot.validate(check)).collect();
        let allow_bots = bots.into_iter().collect::<Result<_, _>>()?;
        Ok(TrustPolicy {
            associations: self.associations.into_iter().map(word).collect(),
            min_permission,
            allow_bots,
            require_verified_commits: self.require_verified_commits,
            public_repositories: true,
        })
    }
}

impl RawBot {
    fn validate(self, check: &mut Check<'_>) -> Result<AllowedBot, Reported> {
        check_login(check, &self.login)?;
        let branches = globs(check, "trust.allow_bots.branches", &self.branches, false)?;
        Ok(AllowedBot {
            login: self.login,
            branches,
            commits_by: self.commits_by,
        })
    }
}

fn check_login(check: &mut Check<'_>, login: &str) -> Result<(), Reported> {
    const MAX_LOGIN_CHARS: usize = 100;
    check.name(
        "trust.allow_bots",
        login.strip_suffix("[bot]").unwrap_or(login),
        "-_",
        MAX_LOGIN_CHARS,
    )
}

fn word(association: RawAssociation) -> String {
    let word = match association {
        RawAssociation::Owner => "OWNER",
        RawAssociation::Member => "MEMBER",
        RawAssociation::Collaborator => "COLLABORATOR",
        RawAssociation::Contributor => "CONTRIBUTOR",
        RawAssociation::FirstTimer => "FIRST_TIMER",
        RawAssociation::FirstTimeContributor => "FIRST_TIME_CONTRIBUTOR",
        RawAssociation::Mannequin => "MANNEQUIN",
        RawAssociation::None => "NONE",
    };
    word.to_owned()
}
