//! GitHub's identifiers. All numbers are unsigned 64-bit integers, because live ids exceed 32 bits.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// The id of a workflow job. A re-run creates new job ids.
    JobId
);
numeric_id!(
    /// The id of a workflow run. A re-run keeps it and increments `run_attempt`.
    RunId
);
numeric_id!(
    /// The id of a self-hosted runner's registration at GitHub.
    RunnerId
);
numeric_id!(
    /// The id of a repository. Unlike the name, it survives renames and transfers.
    RepositoryId
);
numeric_id!(
    /// The id of a user or organization that owns repositories. It survives renames.
    AccountId
);

/// The `owner/name` of a repository. It contains only characters that GitHub allows, so it is safe inside a URL path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName {
    full: String,
    slash: usize,
}

/// An invalid repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not OWNER/NAME")]
pub struct BadRepositoryName(String);

impl RepositoryName {
    /// Parses `OWNER/NAME`.
    ///
    /// # Errors
    /// If the text does not contain exactly one slash, or contains a character that GitHub does not allow in names.
    pub fn parse(text: &str) -> Result<Self, BadRepositoryName> {
        let bad = || BadRepositoryName(text.chars().take(200).collect());
        let (owner, name) = text.split_once('/').ok_or_else(bad)?;
        let allowed = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !allowed(owner) || !allowed(name) {
            return Err(bad());
        }
        Ok(Self {
            full: text.to_owned(),
            slash: owner.len(),
        })
    }

    /// Returns the login of the account that owns the repository.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.full.get(..self.slash).unwrap_or_default()
    }

    /// Returns the name without the owner.
    #[must_use]
    pub fn name(&self) -> &str {
        self.full.get(self.slash + 1..).unwrap_or_default()
    }

    /// Returns `owner/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// Returns true if `full_name` is the name of this repository. GitHub's names ignore ASCII case.
    #[must_use]
    pub fn matches(&self, full_name: &str) -> bool {
        self.full.eq_ignore_ascii_case(full_name)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = BadRepositoryName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.full
    }
}

/// The beginning of the ids of synthesized events.
const SYNTHESIZED: &str = "poll-";

/// The `X-GitHub-Delivery` header. GitHub sends a UUID, and a redelivery keeps it. The signature does not cover it, so
/// it identifies a delivery but proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// Parses a header value: 1 to 128 letters, digits, `-` and `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        ((1..=128).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// Returns the id of an event that jitgate synthesizes, from GitHub's word for the action. Repetitions have the same
    /// id.
    #[must_use]
    pub fn synthesized(job: JobId, attempt: u32, action: &str) -> Self {
        Self(format!("{SYNTHESIZED}{job}-{attempt}-{action}"))
    }

    /// Returns true if jitgate synthesized the event. GitHub's ids are UUIDs.
    #[must_use]
    pub fn is_synthesized(&self) -> bool {
        self.0.starts_with(SYNTHESIZED)
    }

    /// Returns the text of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_are_safe_in_a_path() {
        let name = RepositoryName::parse("octo-org/chem.model_1").expect("a plain name");
        assert_eq!((name.owner(), name.name()), ("octo-org", "chem.model_1"));
        assert!(name.matches("Octo-Org/CHEM.model_1"));
        for bad in [
            "", "x", "/", "a/", "/b", "a/b/c", "a/..", "../b", "a/b c", "a/b?x", "a/é", "a/b%2f",
        ] {
            assert!(RepositoryName::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn delivery_ids_are_bounded_and_plain() {
        assert!(DeliveryId::parse("72d3162e-cc78-11e3-81ab-4c9367dc0958").is_some());
        let long = "a".repeat(129);
        for bad in ["", "a b", "a\nb", "a/b", "<x>", long.as_str()] {
            assert!(DeliveryId::parse(bad).is_none(), "{bad:?} was taken");
        }
    }
}
