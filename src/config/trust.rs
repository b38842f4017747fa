//! `[trust]`: whose pull requests are trusted.

use super::check::{Check, Reported};
use crate::domain::policy::{Permission, TrustPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrust {
    /// Author associations that pass the routing rule, in GitHub's words.
    #[schemars(length(min = 1))]
    associations: Vec<RawAssociation>,
    /// What author, actor and triggering actor need on the repository before a runner is made.
    min_permission: RawPermission,
    /// Bots exempt from the bot and permission rules, by login.
    allow_bots: Vec<String>,
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
            let remedy = "keep to OWNER, MEMBER and COLLABORATOR";
            check.warn(
                "trust.associations",
                "lets the routing rule pass people from outside",
                remedy,
            );
        }
        let min_permission = match self.min_permission {
            RawPermission::Read => Permission::Read,
            RawPermission::Write => Permission::Write,
            RawPermission::Admin => Permission::Admin,
        };
        if min_permission < Permission::Write {
            let remedy = "ask for \"write\": on a public repository everybody can read";
            check.warn(
                "trust.min_permission",
                "gives runners to people who cannot push",
                remedy,
            );
        }
        let bots: Vec<_> = self.allow_bots.iter().map(|login| check_login(check, login)).collect();
        bots.into_iter().collect::<Result<(), _>>()?;
        Ok(TrustPolicy {
            associations: self.associations.into_iter().map(word).collect(),
            min_permission,
            allow_bots: self.allow_bots,
            public_repositories: true,
        })
    }
}

fn check_login(check: &mut Check<'_>, login: &str) -> Result<(), Reported> {
    const LONGEST_LOGIN: usize = 100;
    check.name(
        "trust.allow_bots",
        login.strip_suffix("[bot]").unwrap_or(login),
        "-_",
        LONGEST_LOGIN,
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
