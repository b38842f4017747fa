//! The repository or organization that a registration belongs to, by its URL on GitHub's pages.

use crate::domain::ids::RepositoryName;

/// The place of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Repository(RepositoryName),
    /// The login of an organization.
    Organization(String),
}

impl Place {
    /// Parses `https://HOST/OWNER/NAME` or `https://HOST/ORGANIZATION`. Returns none for any other page.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let (_, rest) = url.trim().split_once("://")?;
        let (_, path) = rest.split_once('/')?;
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match parts.as_slice() {
            [owner] if is_login(owner) => Some(Self::Organization((*owner).to_owned())),
            [owner, name] if *owner != "enterprises" => RepositoryName::parse(&format!("{owner}/{name}"))
                .ok()
                .map(Self::Repository),
            _ => None,
        }
    }

    /// Returns the login of the owner.
    #[must_use]
    pub fn owner(&self) -> &str {
        match self {
            Self::Repository(name) => name.owner(),
            Self::Organization(login) => login,
        }
    }
}

fn is_login(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Returns true if both URLs name the same page. GitHub ignores the case of names.
#[must_use]
pub fn is_same_page(one: &str, other: &str) -> bool {
    let plain = |url: &str| url.trim().trim_end_matches('/').to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_repository_an_organization_or_neither() {
        let repository = Place::of_url("https://github.com/octo-org/chem-model/");
        assert_eq!(
            repository,
            RepositoryName::parse("octo-org/chem-model").ok().map(Place::Repository)
        );
        assert_eq!(
            Place::of_url("https://ghe.example/octo-org"),
            Some(Place::Organization("octo-org".to_owned()))
        );
        for neither in [
            "https://github.com",
            "https://github.com/",
            "https://github.com/enterprises/octo",
            "https://github.com/a/b/c",
            "octo-org/chem-model",
            "",
        ] {
            assert_eq!(Place::of_url(neither), None, "{neither}");
        }
        assert!(is_same_page(
            "https://github.com/Octo-Org/x/",
            "https://github.com/octo-org/x"
        ));
        assert!(!is_same_page(
            "https://github.com/octo-org/x",
            "https://github.com/octo-org/y"
        ));
    }
}
