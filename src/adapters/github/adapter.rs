//! The GitHub adapter: an HTTP client and its credentials.

use super::client::{Answer, Bearer, Client};
use super::request::Request;
use super::settings::{Settings, SetupError};
use super::token::{Access, Grant, Tokens};
use crate::domain::ids::RepositoryName;
use crate::ports::credentials::{Credentials, ReplaceCredentials};
use crate::ports::{Clock, Failure, Observer};
use http::StatusCode;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The GitHub REST API.
pub struct GitHubAdapter {
    pub(super) client: Arc<Client>,
    tokens: RwLock<Arc<Tokens>>,
}

impl GitHubAdapter {
    /// Creates an adapter without sending a request. It must be called inside a tokio runtime, which then runs its
    /// connections.
    ///
    /// # Errors
    /// Returns a [`SetupError`] if the settings are invalid.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::observed(settings, clock, Arc::new(()))
    }

    /// Creates an adapter that reports every request to `observer`.
    ///
    /// # Errors
    /// Returns a [`SetupError`] if the settings are invalid.
    pub fn observed(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SetupError> {
        let client = Arc::new(Client::new(settings, clock, observer)?);
        let tokens = Tokens::new(&settings.credentials, &client)?;
        let tokens = RwLock::new(Arc::new(tokens));
        Ok(Self { client, tokens })
    }

    /// Returns the present source of tokens. A request keeps it to its end.
    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a request with a token for `access`. If GitHub answers 401, the request is sent once more with a fresh
    /// token; GitHub checks the token before it does anything, so the request cannot take effect twice.
    pub(super) async fn ask(&self, access: &Access, request: &Request) -> Result<Answer, Failure> {
        let tokens = self.tokens();
        let bearer = tokens.bearer(access).await?;
        let answer = self.client.send(request, &bearer).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let fresh = tokens.replace(access, &bearer).await?;
        let answer = self.client.send(request, &fresh).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(tokens.refused(access)),
            _ => Ok(answer),
        }
    }

    /// Sends a request with the credential of the App itself.
    pub(super) async fn ask_as_the_app(&self, request: &Request) -> Result<Answer, Failure> {
        let answer = self.client.send(request, &self.tokens().of_the_app()?).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(Failure::Permanent(format!(
                "GitHub rejects the JWT of the app; check its id, its private key and the clock: {answer}"
            ))),
            _ => Ok(answer),
        }
    }

    pub(super) async fn ask_about_jobs(
        &self,
        repository: &RepositoryName,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let access = Access {
            repository: repository.clone(),
            grant: Grant::Jobs,
        };
        self.ask(&access, request).await
    }

    /// Returns an object of a repository, or none for 404.
    pub(super) async fn find<A: DeserializeOwned>(
        &self,
        repository: &RepositoryName,
        request: &Request,
    ) -> Result<Option<A>, Failure> {
        let answer = self.ask_about_jobs(repository, request).await?;
        match answer.status {
            StatusCode::OK => answer.read().map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.unexpected()),
        }
    }

    /// Sends a request without a credential.
    pub(super) async fn ask_anonymously(&self, request: &Request) -> Result<Answer, Failure> {
        self.client.send(request, &Bearer::anonymous()).await
    }
}

impl ReplaceCredentials for GitHubAdapter {
    fn replace_credentials(&self, credentials: &Credentials) -> Result<(), Failure> {
        let tokens = Tokens::new(credentials, &self.client).map_err(|error| Failure::Permanent(error.to_string()))?;
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
        Ok(())
    }
}

impl fmt::Debug for GitHubAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubAdapter").finish_non_exhaustive()
    }
}
