//! Whom to ask as: the App's JWT, its installations, and installation tokens.
//!
//! One token for each access, minted once for any number of callers (they share one request and its result), replaced
//! five minutes before it expires and when GitHub stops accepting it. Tokens live in memory only.

use super::client::{Bearer, Client};
use super::limits::Account;
use super::request::{Request, under};
use super::settings::{Credentials, SetupError};
use crate::domain::ids::RepositoryName;
use crate::ports::Failure;
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

/// Clocks differ; GitHub takes no JWT from its future.
const BACKDATED: TimeDelta = TimeDelta::seconds(60);
/// GitHub takes 10 minutes at most.
const JWT_LIFE: TimeDelta = TimeDelta::minutes(9);
/// How long before its end a token is replaced.
const RENEWED_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Access {
    pub(super) repository: RepositoryName,
    pub(super) grant: Grant,
}

/// What a token may do; the module's header says what for.
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

/// Where bearers come from.
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

    /// Another bearer in place of one that GitHub did not accept.
    pub(super) async fn replace(&self, access: &Access, refused: &Arc<Bearer>) -> Result<Arc<Bearer>, Failure> {
        match self {
            Self::Fixed(_) => Err(self.refused(access)),
            Self::Minted(app) => {
                app.forget(access, refused);
                app.bearer(access).await
            }
        }
    }

    /// The failure when GitHub accepts no credential of ours; names where they come from.
    pub(super) fn refused(&self, access: &Access) -> Failure {
        let repository = &access.repository;
        Failure::Permanent(match self {
            Self::Fixed(_) => format!("GitHub does not accept the configured token (for {repository})"),
            Self::Minted(app) => format!(
                "GitHub does not accept a fresh installation token of app {} (for {repository})",
                app.id
            ),
        })
    }
}

/// A GitHub App and the tokens minted for it.
pub(super) struct App {
    id: String,
    key: EncodingKey,
    only_installation: Option<u64>,
    client: Arc<Client>,
    /// By owner, in lower case.
    installations: Mutex<HashMap<String, u64>>,
    tokens: Mutex<HashMap<Access, Minting>>,
}

/// A token that is, or will be: whoever comes while it is minted waits for the same result.
type Minting = Shared<BoxFuture<'static, Result<Token, Failure>>>;

#[derive(Clone)]
struct Token {
    bearer: Arc<Bearer>,
    expires_at: DateTime<Utc>,
}

impl App {
    async fn bearer(self: &Arc<Self>, access: &Access) -> Result<Arc<Bearer>, Failure> {
        let renew_after = self.client.clock.now() + RENEWED_BEFORE;
        let usable =
            |result: &Result<Token, Failure>| result.as_ref().is_ok_and(|token| token.expires_at > renew_after);
        let minting = {
            let mut tokens = held(&self.tokens);
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
        let mut tokens = held(&self.tokens);
        let is_refused = |token: &Token| Arc::ptr_eq(&token.bearer, refused);
        // Others may have replaced it meanwhile.
        if let Some(Ok(token)) = tokens.get(access).and_then(|minting| minting.peek())
            && is_refused(token)
        {
            tokens.remove(access);
        }
    }

    /// On a task of its own, so that a caller who gives up takes nothing from the others.
    fn minting(self: Arc<Self>, access: Access) -> Minting {
        let minted = tokio::spawn(async move { self.mint(&access).await });
        let lost = |error| Failure::Transient(format!("minting a token broke off: {error}"));
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
                // It may have been installed anew, under another id.
                held(&self.installations).remove(&owner_of(&access.repository));
                Err(Failure::Permanent(format!(
                    "app {} has no installation {installation}: {answer}",
                    self.id
                )))
            }
            StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => Err(Failure::Permanent(format!(
                "app {} gets no token for {} with {}: {answer}",
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
        let known = held(&self.installations).get(&owner).copied();
        if let Some(id) = self.only_installation.or(known) {
            return Ok(id);
        }
        let request = Request::get("installation", under(repository, "installation"), Purpose::Admit);
        let answer = self.client.send(&request, &self.jwt()?).await?;
        match answer.status {
            StatusCode::OK => {
                let Installation { id } = answer.read()?;
                held(&self.installations).insert(owner, id);
                Ok(id)
            }
            StatusCode::NOT_FOUND => Err(Failure::Permanent(format!(
                "app {} is not installed on {repository}, or there is no such repository",
                self.id
            ))),
            _ => Err(self.refusal(&answer)),
        }
    }

    fn refusal(&self, answer: &super::client::Answer) -> Failure {
        match answer.status {
            StatusCode::UNAUTHORIZED => Failure::Permanent(format!(
                "GitHub does not accept the JWT of app {}; check its id, its private key and the clock: {answer}",
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
            iat: (now - BACKDATED).timestamp(),
            exp: (now + JWT_LIFE).timestamp(),
            iss: self.id.clone(),
        };
        let failed = || Failure::Permanent(format!("the private key of app {} signs no JWT", self.id));
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

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
