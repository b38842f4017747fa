//! The key of an alert: repeats with the same key are one alert.
//!
//! Keys are stored. Their text and the id made of it must not change.

use super::inert::inert;
use super::kind::AlertKind;
use crate::domain::ids::RepositoryName;
use crate::domain::routing::RoutingVerdict;
use sha2::{Digest, Sha256};
use std::fmt;

/// The text of an absent part.
pub(super) const ABSENT: &str = "-";
/// Longest name of a person, in characters.
pub(in crate::domain) const MAX_NAME_CHARS: usize = 100;
/// Length of an id, in bytes of the digest.
const ID_BYTES: usize = 8;

/// The key that all repeats of an alert share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertKey {
    pub kind: AlertKind,
    repository: String,
    cause: Option<String>,
    /// The person behind the alert, or `-`; none if the key does not depend on persons.
    author: Option<String>,
}

impl AlertKey {
    /// Returns the key of the alert of this kind about a repository, or about no repository in particular.
    #[must_use]
    pub fn new(kind: AlertKind, repository: Option<&RepositoryName>) -> Self {
        Self {
            kind,
            repository: repository.map_or_else(|| ABSENT.to_owned(), ToString::to_string),
            cause: None,
            author: None,
        }
    }

    /// Keeps alerts of the same kind and repository apart by their cause, which is a word from a closed set.
    #[must_use]
    pub fn caused_by(mut self, cause: &str) -> Self {
        self.cause = Some(inert(cause, MAX_NAME_CHARS));
        self
    }

    /// Keeps alerts apart by routing verdict and by the person behind the job.
    #[must_use]
    pub fn of_author(mut self, verdict: RoutingVerdict, author: Option<&str>) -> Self {
        self.cause = Some(verdict.as_str().to_owned());
        self.author = Some(author.map_or_else(|| ABSENT.to_owned(), |author| inert(author, MAX_NAME_CHARS)));
        self
    }

    /// Returns the repository, `owner/name`, or `-`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the cause, or `-`.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.cause.as_deref().unwrap_or(ABSENT)
    }

    /// Returns the id of the alert with this key.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.to_string())
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.repository, self.kind.as_str(), self.cause())?;
        match &self.author {
            Some(author) => write!(f, "/{author}"),
            None => Ok(()),
        }
    }
}

/// Returns the beginning of the key's digest, in hexadecimal.
pub(super) fn id_of(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    hex::encode(digest.get(..ID_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_keeps_its_text_and_its_id() {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        let (kind, of) = (AlertKind::StolenRunner, Some(&repository));
        for (key, text, id) in [
            (AlertKey::new(kind, None), "-/stolen-runner/-", "72e70590e0658a66"),
            (AlertKey::new(kind, of), "octo/chem/stolen-runner/-", "6ab62b828acdd621"),
            (
                AlertKey::new(kind, of).caused_by("gate"),
                "octo/chem/stolen-runner/gate",
                "e37cee4c30005ceb",
            ),
            (
                AlertKey::new(kind, of).of_author(RoutingVerdict::Attempt, Some("mallory")),
                "octo/chem/stolen-runner/attempt/mallory",
                "12ba4a68aca0de30",
            ),
            (
                AlertKey::new(kind, of).of_author(RoutingVerdict::Attempt, None),
                "octo/chem/stolen-runner/attempt/-",
                "40d1386c04fd3bbf",
            ),
        ] {
            assert_eq!((key.to_string().as_str(), key.id().as_str()), (text, id));
        }
    }
}
