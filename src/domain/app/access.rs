//! The permissions and events that jitgate's App needs, and the comparison with those that it has.

use chrono::TimeDelta;
use std::collections::BTreeMap;

/// The event that jitgate decides on.
pub const EVENTS: [&str; 1] = ["workflow_job"];
/// A JWT is backdated by 60 s, so GitHub rejects it when this machine's clock is further ahead.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(30);

/// The level of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Read,
    Write,
    Admin,
}

impl Level {
    /// Returns GitHub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin]
            .into_iter()
            .find(|level| level.as_str() == word)
    }
}

/// A permission that jitgate needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// GitHub's name of the permission.
    pub name: &'static str,
    pub level: Level,
    /// True if only runners of an organization need it.
    pub of_organization: bool,
    /// Its use, as a noun phrase.
    pub used_for: &'static str,
}

const PERMISSIONS: [Permission; 7] = [
    of_repository("actions", Level::Write, "runs and jobs: read, cancel, re-run"),
    of_repository("actions_variables", Level::Write, "the routing variable"),
    of_repository("administration", Level::Write, "runners of the repository"),
    of_repository("contents", Level::Read, "the files that a pull request changes"),
    of_repository("metadata", Level::Read, "permissions of users"),
    Permission {
        name: "organization_self_hosted_runners",
        level: Level::Write,
        of_organization: true,
        used_for: "runners of the organization",
    },
    of_repository("pull_requests", Level::Read, "pull requests and their authors"),
];

const fn of_repository(name: &'static str, level: Level, used_for: &'static str) -> Permission {
    Permission {
        name,
        level,
        of_organization: false,
        used_for,
    }
}

/// Returns the permissions that jitgate needs, with those for runners of an organization on request.
pub fn required(with_organization: bool) -> impl Iterator<Item = Permission> {
    let is_needed = move |permission: &Permission| with_organization || !permission.of_organization;
    PERMISSIONS.into_iter().filter(is_needed)
}

fn has(granted: &BTreeMap<String, String>, permission: Permission) -> bool {
    let level = granted.get(permission.name).and_then(|word| Level::parse(word));
    level >= Some(permission.level)
}

/// Returns the needed permissions that are missing or too low.
#[must_use]
pub fn lacking_permissions(granted: &BTreeMap<String, String>, with_organization: bool) -> Vec<Permission> {
    required(with_organization)
        .filter(|permission| !has(granted, *permission))
        .collect()
}

/// Returns the permissions, with their levels, that go beyond what jitgate needs for any repository.
#[must_use]
pub fn excess_permissions(granted: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let is_needed = |name: &str, level: &str| {
        let fits = |needed: Permission| needed.name == name && Level::parse(level) <= Some(needed.level);
        required(true).any(fits)
    };
    let pairs = granted.iter().map(|(name, level)| (name.as_str(), level.as_str()));
    pairs.filter(|(name, level)| !is_needed(name, level)).collect()
}

/// Returns the needed events that the App does not receive.
#[must_use]
pub fn lacking_events(subscribed: &[String]) -> Vec<&'static str> {
    let is_missing = |event: &&str| !subscribed.iter().any(|known| known == event);
    EVENTS.into_iter().filter(is_missing).collect()
}

/// Returns the permissions of a token: those that jitgate needs and the installation has. GitHub refuses a token with any
/// other permission.
#[must_use]
pub fn grantable(granted: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let held = required(true).filter(|permission| has(granted, *permission));
    held.map(|permission| (permission.name.to_owned(), permission.level.as_str().to_owned()))
        .collect()
}

/// Returns true if the clock of this machine differs so much from GitHub's that JWTs will soon be rejected.
#[must_use]
pub fn is_skewed(skew: TimeDelta) -> bool {
    skew.abs() > MAX_SKEW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, level): &(&str, &str)| ((*name).to_owned(), (*level).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_lower_level_is_as_bad_as_none_and_a_higher_one_is_enough() {
        let mut has = required(true)
            .map(|permission| (permission.name.to_owned(), "write".to_owned()))
            .collect::<BTreeMap<_, _>>();
        assert_eq!(lacking_permissions(&has, true), []);
        has.insert("actions".to_owned(), "read".to_owned());
        has.insert("administration".to_owned(), "admin".to_owned());
        has.remove("contents");
        has.insert("metadata".to_owned(), "nonsense".to_owned());
        let names: Vec<&str> = lacking_permissions(&has, true)
            .iter()
            .map(|lacking| lacking.name)
            .collect();
        assert_eq!(names, ["actions", "contents", "metadata"]);
    }

    #[test]
    fn a_higher_level_and_an_unneeded_permission_are_excess() {
        let held = granted(&[
            ("actions", "write"),
            ("administration", "admin"),
            ("contents", "write"),
            ("issues", "read"),
            ("metadata", "read"),
            ("organization_self_hosted_runners", "write"),
        ]);
        assert_eq!(
            excess_permissions(&held),
            [("administration", "admin"), ("contents", "write"), ("issues", "read")]
        );
    }

    #[test]
    fn runners_of_an_organization_need_one_permission_more() {
        let names = |with_organization| {
            required(with_organization)
                .map(|permission| permission.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(true).len(), names(false).len() + 1);
        assert!(!names(false).contains(&"organization_self_hosted_runners"));
    }

    #[test]
    fn a_token_gets_what_is_needed_and_held_and_no_more() {
        let held = granted(&[
            ("actions", "admin"),
            ("contents", "write"),
            ("issues", "write"),
            ("administration", "read"),
        ]);
        assert_eq!(grantable(&held), granted(&[("actions", "write"), ("contents", "read")]));
    }

    #[test]
    fn a_missing_event_and_a_wrong_clock_are_noticed() {
        assert_eq!(lacking_events(&["push".to_owned()]), ["workflow_job"]);
        assert_eq!(lacking_events(&["workflow_job".to_owned()]), [""; 0]);
        for (seconds, wrong) in [(0, false), (30, false), (31, true), (-30, false), (-31, true)] {
            assert_eq!(is_skewed(TimeDelta::seconds(seconds)), wrong, "{seconds}");
        }
    }
}
