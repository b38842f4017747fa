//! The manifest from which GitHub creates the App, and the address of GitHub's form for it.

use super::access::{self, EVENTS};
use serde::Serialize;
use std::collections::BTreeMap;

/// The longest name of an App that GitHub accepts.
const MAX_NAME_CHARS: usize = 34;

/// The account that will own the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The person who is signed in at GitHub.
    Person,
    /// An organization, by its login.
    Organization(String),
}

impl Owner {
    /// Returns the address of GitHub's form, below the address of its web interface.
    #[must_use]
    pub fn form(&self, web_url: &str) -> String {
        match self {
            Self::Person => format!("{web_url}/settings/apps/new"),
            Self::Organization(login) => format!("{web_url}/organizations/{login}/settings/apps/new"),
        }
    }
}

/// The webhook of the App.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    pub url: String,
    pub active: bool,
}

/// The manifest, with GitHub's names of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    pub name: String,
    /// The home page that GitHub shows.
    pub url: String,
    /// The address that the browser returns to.
    pub redirect_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_attributes: Option<Hook>,
    pub public: bool,
    pub default_permissions: BTreeMap<&'static str, &'static str>,
    /// Empty without a webhook: events need a receiver.
    pub default_events: Vec<&'static str>,
}

impl Manifest {
    /// Returns a manifest with the permissions and events that jitgate needs. The App is private: only its owner can
    /// install it.
    #[must_use]
    pub fn new(name: String, url: String, hook_url: Option<String>, owner: &Owner) -> Self {
        let with_organization = matches!(owner, Owner::Organization(_));
        Self {
            name,
            url,
            redirect_url: String::new(),
            default_events: if hook_url.is_some() {
                EVENTS.to_vec()
            } else {
                Vec::new()
            },
            hook_attributes: hook_url.map(|url| Hook { url, active: true }),
            public: false,
            default_permissions: access::required(with_organization)
                .map(|permission| (permission.name, permission.level.as_str()))
                .collect(),
        }
    }
}

/// Returns the default name of the App of an owner. Names are unique at GitHub, and its form allows another one.
#[must_use]
pub fn default_name(owner: &str) -> String {
    format!("jitgate-{owner}")
        .chars()
        .take(MAX_NAME_CHARS)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_asks_for_what_is_needed() {
        let hook = Some("https://gate.example/webhooks/github".to_owned());
        let owner = Owner::Organization("octo-org".to_owned());
        let manifest = Manifest::new(
            "jitgate-octo-org".to_owned(),
            "https://github.com/octo-org".to_owned(),
            hook,
            &owner,
        );
        let shown = json!(manifest);
        assert_eq!(shown["public"], json!(false));
        assert_eq!(shown["default_events"], json!(["workflow_job"]));
        assert_eq!(
            shown["default_permissions"]["organization_self_hosted_runners"],
            json!("write")
        );
        assert_eq!(shown["hook_attributes"]["active"], json!(true));
        assert_eq!(
            owner.form("https://github.com"),
            "https://github.com/organizations/octo-org/settings/apps/new"
        );
    }

    #[test]
    fn a_person_has_no_permission_of_an_organization_and_no_hook_means_no_event() {
        let manifest = Manifest::new("n".to_owned(), "https://github.com/me".to_owned(), None, &Owner::Person);
        let shown = json!(manifest);
        assert_eq!(shown.get("hook_attributes"), None);
        assert_eq!(shown["default_events"], json!([]));
        assert_eq!(
            shown["default_permissions"].get("organization_self_hosted_runners"),
            None
        );
        assert_eq!(
            Owner::Person.form("https://github.com"),
            "https://github.com/settings/apps/new"
        );
    }

    #[test]
    fn a_name_is_as_short_as_github_demands() {
        assert_eq!(default_name("octo-org"), "jitgate-octo-org");
        let long = default_name("an-organization-with-a-long-name-indeed");
        assert_eq!(long, "jitgate-an-organization-with-a-lon");
        assert_eq!(long.len(), MAX_NAME_CHARS);
    }
}
