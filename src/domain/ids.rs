//! Identifiers as GitHub gives them. All numbers are unsigned 64 bit: live ids have outgrown 32 bit.

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
    /// A workflow job. A re-run makes new job ids.
    JobId
);
numeric_id!(
    /// A workflow run. A re-run keeps the id and counts `run_attempt` up.
    RunId
);
numeric_id!(
    /// A self-hosted runner record at GitHub.
    RunnerId
);
numeric_id!(
    /// A repository. Unlike the name it survives renames and transfers.
    RepositoryId
);
numeric_id!(
    /// An account that owns repositories: a person's or an organization's. It survives renames.
    AccountId
);

/// `owner/name` of a repository, checked to hold only characters GitHub allows, so it is safe inside a URL path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName {
    full: String,
    slash: usize,
}

/// Why a text is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not OWNER/NAME")]
pub struct BadRepositoryName(String);

impl RepositoryName {
    /// Reads `OWNER/NAME`.
    ///
    /// # Errors
    /// When the text has not exactly one slash, or a character GitHub does not allow in names.
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

    /// The account that owns the repository.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.full.get(..self.slash).unwrap_or_default()
    }

    /// The repository's name without its owner.
    #[must_use]
    pub fn name(&self) -> &str {
        self.full.get(self.slash + 1..).unwrap_or_default()
    }

    /// `owner/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// Whether `full_name` means this repository. GitHub's names ignore ASCII case.
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

/// The `X-GitHub-Delivery` header. GitHub sends a UUID; redeliveries keep it. It is not covered by the signature, so it
/// identifies and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// Reads a header value: 1 to 128 characters out of letters, digits, `-` and `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        ((1..=128).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// The text of the header.
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
