//! GitHub's API of an App: its identity, its installations, their tokens, its webhook, and the conversion of a manifest.

use super::Failure;
use crate::domain::ids::RepositoryName;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;

/// The App as GitHub knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppIdentity {
    pub id: u64,
    pub client_id: Option<String>,
    /// The name in URLs.
    pub slug: String,
    /// The login of the account that owns the App.
    pub owner: String,
    pub html_url: String,
    /// Levels by permission.
    pub permissions: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// The time by which this machine's clock is ahead of GitHub's; none if GitHub's answer has no date.
    pub skew: Option<TimeDelta>,
}

/// The place where an App is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstalledOn {
    /// The owner of this repository.
    Repository(RepositoryName),
    /// An organization, by its login.
    Organization(String),
    /// A personal account, by its login.
    User(String),
    /// An installation with this id.
    Installation(u64),
}

impl fmt::Display for InstalledOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(name) => write!(f, "{name}"),
            Self::Organization(login) => write!(f, "organization {login}"),
            Self::User(login) => write!(f, "account {login}"),
            Self::Installation(id) => write!(f, "installation {id}"),
        }
    }
}

/// An installation of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub id: u64,
    /// The login of the account that it belongs to.
    pub account: String,
    /// Levels by permission, as the account accepted them.
    pub permissions: BTreeMap<String, String>,
    /// True if the account or GitHub has suspended it.
    pub is_suspended: bool,
}

/// A request for an installation token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub installation: u64,
    /// Names without owner; empty for all repositories of the installation.
    pub repositories: Vec<String>,
    /// Levels by permission; empty for all permissions of the installation.
    pub permissions: BTreeMap<String, String>,
}

/// An installation token.
#[derive(Debug)]
pub struct InstallationToken {
    pub token: SecretString,
    pub expires_at: DateTime<Utc>,
}

/// The webhook of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppHook {
    /// The URL of the receiver; empty if there is none.
    pub url: String,
    /// `json` or `form`.
    pub content_type: String,
}

/// An App that was created from a manifest.
#[derive(Debug)]
pub struct NewApp {
    pub id: u64,
    pub client_id: Option<String>,
    pub slug: String,
    pub owner: String,
    pub html_url: String,
    /// The private key in PEM form.
    pub private_key: SecretString,
    /// None if GitHub made no secret.
    pub webhook_secret: Option<SecretString>,
}

/// The failure of a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppFailure {
    /// GitHub refuses the call.
    #[error("{detail}")]
    Refused {
        status: u16,
        /// The call and GitHub's message.
        detail: String,
        /// The time by which this machine's clock is ahead of GitHub's.
        skew: Option<TimeDelta>,
    },
    /// GitHub gave no answer.
    #[error(transparent)]
    Unanswered(#[from] Failure),
}

/// The calls of an App about itself, with its own credential.
#[async_trait]
pub trait GitHubApp: Send + Sync + 'static {
    /// `GET /app`.
    async fn identity(&self) -> Result<AppIdentity, AppFailure>;

    /// `GET /repos/{o}/{r}/installation`, `/orgs/{org}/installation`, `/users/{user}/installation` or
    /// `/app/installations/{id}`: returns none if the App is not installed there.
    async fn installation(&self, on: &InstalledOn) -> Result<Option<Installation>, AppFailure>;

    /// `POST /app/installations/{id}/access_tokens`.
    async fn installation_token(&self, request: &TokenRequest) -> Result<InstallationToken, AppFailure>;

    /// `GET /app/hook/config`.
    async fn hook(&self) -> Result<AppHook, AppFailure>;

    /// `PATCH /app/hook/config`: sets the webhook and, if there is one, its secret.
    async fn set_hook(&self, hook: &AppHook, secret: Option<&SecretString>) -> Result<(), AppFailure>;
}

/// The creation of an App.
#[async_trait]
pub trait AppManifests: Send + Sync + 'static {
    /// `POST /app-manifests/{code}/conversions`: returns the App. GitHub answers this call once for each code.
    async fn convert(&self, code: &SecretString) -> Result<NewApp, AppFailure>;
}
