//! The credentials of requests: the App's JWT, its installations and its installation tokens.
//!
//! One token exists for each access. Concurrent callers share one mint request and its result. A token is replaced five
//! minutes before it expires and when GitHub stops accepting it. Tokens are kept in memory only.

use super::client::{Bearer, Client};
use super::limits::Account;
use super::request::{Request, under};
use super::settings::SetupError;
use crate::domain::ids::RepositoryName;
use crate::ports::Failure;
use crate::ports::credentials::Credentials;
use crate::ports::github::Purpose;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clocks differ, and GitHub rejects a JWT from the future.
const JWT_BACKDATE: TimeDelta = TimeDelta::seconds(60);
/// GitHub accepts at most 10 minutes.
const JWT_LIFETIME: TimeDelta = TimeDelta::minutes(9);
/// The time before its expiry at which a token is replaced.
const RENEWAL_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// The repository and the permissions that a token is minted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Access {
    pub(super) repository: RepositoryName,
    pub(super) grant: Grant,
}

/// The permissions of a token; the header of the `github` module lists their uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Grant {
    Jobs,
    RepositoryRunners,
    OrganizationRunners,
}

impl Grant {
    fn permissions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Jobs => &[
                ("actions", "write"),
                ("actions_variables", "write"),
                ("contents", "read"),
                ("metadata", "read"),
                ("pull_requests", "read"),
            ],
            Self::RepositoryRunners => &[("administration", "write")],
            Self::OrganizationRunners => &[("organization_self_hosted_runners", "write")],
        }
    }

    fn is_for_one_repository(self) -> bool {
        !matches!(self, Self::OrganizationRunners)
    }
}

/// The source of bearer tokens.
pub(super) enum Tokens {
    Fixed(Arc<Bearer>),
    Minted(Arc<App>),
}

impl Tokens {
    pub(super) fn new(credentials: &Credentials, client: &Arc<Client>) -> Result<Self, SetupError> {
        match credentials {
            Credentials::Anonymous => Ok(Self::Fixed(Arc::new(Bearer::anonymous()))),
            Credentials::Token(token) => {
                let bearer = Bearer::new(Account::Token, token.expose_secret().trim()).ok_or(SetupError::Token)?;
                Ok(Self::Fixed(Arc::new(bearer)))
            }
            Credentials::App {
                app_id,
                private_key,
                installation_id,
            } => {
                let key = EncodingKey::from_rsa_pem(private_key.expose_secret().as_bytes());
                Ok(Self::Minted(Arc::new(App {
                    id: app_id.clone(),
                    key: key.map_err(|source| SetupError::PrivateKey {
                        app_id: app_id.clone(),
                        source,
                    })?,
                    only_installation: *installation_id,
                    client: Arc::clone(client),
                    installations: Mutex::default(),
                    tokens: Mutex::default(),
                })))
            }
        }
    }

    pub(super) async fn bearer(&self, access: &Access) -> Result<Arc<Bearer>, Failure> {
        match self {
            Self::Fixed(bearer) => Ok(Arc::clone(bearer)),
            Self::Minted(app) => app.bearer(access).await,
        }
    }

    /// Returns the credential of the App itself.
    pub(super) fn of_the_app(&self) -> Result<Bearer, Failure> {
        match self {
            Self::Fixed(_) => Err(Failure::Permanent(
                "this call requires the credentials of a GitHub App, and a token is configured".to_owned(),
            )),
            Self::Minted(app) => app.jwt(),
        }
    }

    /// Returns true if the credentials are those of an App.
    pub(super) fn are_of_an_app(&self) -> bool {
        matches!(self, Self::Minted(_))
    }

    /// Returns a new bearer in place of one that GitHub rejected.
    pub(super) async fn replace(&self, access: &Access, refused: &Arc<Bearer>) -> Result<Arc<Bearer>, Failure> {
        match self {
            Self::Fixed(_) => Err(self.refused(access)),
            Self::Minted(app) => {
                app.forget(access, refused);
                app.bearer(access).await
            }
        }
    }

    /// Returns the failure for credentials that GitHub rejects. It names their source.
    pub(super) fn refused(&self, access: &Access) -> Failure {
        let repository = &access.repository;
        Failure::Permanent(match self {
            Self::Fixed(_) => format!("GitHub rejects the configured token (for {repository})"),
            Self::Minted(app) => format!(
                "GitHub rejects a fresh installation token of app {} (for {repository})",
                app.id
            ),
        })
    }
}

/// A GitHub App and its tokens.
pub(super) struct App {
    id: String,
    key: EncodingKey,
    only_installation: Option<u64>,
    client: Arc<Client>,
    /// The installation ids by owner, in lower case.
    installations: Mutex<HashMap<String, u64>>,
    tokens: Mutex<HashMap<Access, Minting>>,
}

/// A token or its pending mint request. Concurrent callers wait for the same result.
type Minting = Shared<BoxFuture<'static, Result<Token, Failure>>>;

#[derive(Clone)]
struct Token {
    bearer: Arc<Bearer>,
    expires_at: DateTime<Utc>,
}

impl App {
    async fn bearer(self: &Arc<Self>, access: &Access) -> Result<Arc<Bearer>, Failure> {
        let renew_after = self.client.clock.now() + RENEWAL_MARGIN;
        let usable =
            |result: &Result<Token, Failure>| result.as_ref().is_ok_and(|token| token.expires_at > renew_after);
        let minting = {
            let mut tokens = lock(&self.tokens);
            match tokens.get(access) {
                Some(minting) if minting.peek().is_none_or(usable) => minting.clone(),
                _ => {
                    let minting = Arc::clone(self).minting(access.clone());
                    tokens.insert(access.clone(), minting.clone());
                    minting
                }
            }
        };
        minting.await.map(|token| token.bearer)
    }

    fn forget(&self, access: &Access, refused: &Arc<Bearer>) {
        let mut tokens = lock(&self.tokens);
        let is_refused = |token: &Token| Arc::ptr_eq(&token.bearer, refused);
        // Another caller may have replaced it already.
        if let Some(Ok(token)) = tokens.get(access).and_then(|minting| minting.peek())
            && is_refused(token)
        {
            tokens.remove(access);
        }
    }

    /// Mints a token on a task of its own, so that a caller that is cancelled does not cancel it for the others.
    fn minting(self: Arc<Self>, access: Access) -> Minting {
        let minted = tokio::spawn(async move { self.mint(&access).await });
        let lost = |error| Failure::Transient(format!("failed to mint a token: {error}"));
        minted
            .map(move |done| done.unwrap_or_else(|error| Err(lost(error))))
            .boxed()
            .shared()
    }

    async fn mint(&self, access: &Access) -> Result<Token, Failure> {
        let installation = self.installation_of(&access.repository).await?;
        let answer = self
            .client
            .send(&token_request(installation, access), &self.jwt()?)
            .await?;
        match answer.status {
            StatusCode::CREATED => {
                let minted: MintedToken = answer.read()?;
                let bearer = Bearer::new(Account::Installation(installation), &minted.token);
                Ok(Token {
                    bearer: Arc::new(bearer.ok_or_else(|| answer.unexpected())?),
                    expires_at: minted.expires_at,
                })
            }
            StatusCode::NOT_FOUND => {
                // The App may have been reinstalled with another id.
                lock(&self.installations).remove(&owner_of(&access.repository));
                Err(Failure::Permanent(format!(
                    "app {} has no installation {installation}: {answer}",
                    self.id
                )))
            }
            StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => Err(Failure::Permanent(format!(
                "app {} cannot get a token for {} with {}: {answer}",
                self.id,
                access.repository,
                listed(access.grant.permissions()),
            ))),
            _ => Err(self.refusal(&answer)),
        }
    }

    async fn installation_of(&self, repository: &RepositoryName) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
        }
        let owner = owner_of(repository);
        let known = lock(&self.installations).get(&owner).copied();
        if let Some(id) = self.only_installation.or(known) {
            return Ok(id);
        }
        let request = Request::get("installation", under(repository, "installation"), Purpose::Admit);
        let answer = self.client.send(&request, &self.jwt()?).await?;
        match answer.status {
            StatusCode::OK => {
                let Installation { id } = answer.read()?;
                lock(&self.installations).insert(owner, id);
                Ok(id)
            }
            StatusCode::NOT_FOUND => Err(Failure::Permanent(format!(
                "app {} is not installed on {repository}, or the repository does not exist",
                self.id
            ))),
            _ => Err(self.refusal(&answer)),
        }
    }

    fn refusal(&self, answer: &super::client::Answer) -> Failure {
        match answer.status {
            StatusCode::UNAUTHORIZED => Failure::Permanent(format!(
                "GitHub rejects the JWT of app {}; check its id, its private key and the clock: {answer}",
                self.id
            )),
            _ => answer.unexpected(),
        }
    }

    fn jwt(&self) -> Result<Bearer, Failure> {
        #[derive(Serialize)]
        struct Claims {
            iat: i64,
            exp: i64,
            iss: String,
        }
        let now = self.client.clock.now();
        let claims = Claims {
            iat: (now - JWT_BACKDATE).timestamp(),
            exp: (now + JWT_LIFETIME).timestamp(),
            iss: self.id.clone(),
        };
        let failed = || Failure::Permanent(format!("failed to sign a JWT with the private key of app {}", self.id));
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map_err(|_| failed())?;
        Bearer::new(Account::App, &jwt).ok_or_else(failed)
    }
}

#[derive(Deserialize)]
struct MintedToken {
    token: String,
    expires_at: DateTime<Utc>,
}

fn token_request(installation: u64, access: &Access) -> Request {
    let permissions: Map<String, Value> = access
        .grant
        .permissions()
        .iter()
        .map(|(name, level)| ((*name).to_owned(), json!(level)))
        .collect();
    let mut body = json!({ "permissions": permissions });
    if access.grant.is_for_one_repository() {
        body["repositories"] = json!([access.repository.name()]);
    }
    let path = format!("/app/installations/{installation}/access_tokens");
    Request::change("access_token", Method::POST, path, Some(body))
}

fn listed(permissions: &[(&str, &str)]) -> String {
    let words: Vec<String> = permissions
        .iter()
        .map(|(name, level)| format!("{name}:{level}"))
        .collect();
    words.join(", ")
}

fn owner_of(repository: &RepositoryName) -> String {
    repository.owner().to_ascii_lowercase()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
