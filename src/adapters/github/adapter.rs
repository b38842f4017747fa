//! The adapter itself: a client, and the credentials it asks with.

use super::client::{Answer, Bearer, Client};
use super::request::Request;
use super::settings::{Settings, SetupError};
use super::token::{Access, Tokens};
use crate::ports::{Clock, Failure, Observer};
use http::StatusCode;
use std::fmt;
use std::sync::Arc;

/// GitHub, reached over REST.
pub struct GitHubAdapter {
    pub(super) client: Arc<Client>,
    tokens: Tokens,
}

impl GitHubAdapter {
    /// Makes an adapter; sends nothing. Must be called inside a tokio runtime, which its connections then live on.
    ///
    /// # Errors
    /// [`SetupError`] for settings that cannot work.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::observed(settings, clock, Arc::new(()))
    }

    /// The same, with somebody told of every request.
    ///
    /// # Errors
    /// [`SetupError`] for settings that cannot work.
    pub fn observed(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SetupError> {
        let client = Arc::new(Client::new(settings, clock, observer)?);
        let tokens = Tokens::new(&settings.credentials, &client)?;
        Ok(Self { client, tokens })
    }

    /// Asks with a token for `access`, and once more with a fresh one where the first is not accepted: GitHub looks at
    /// the token before it does anything, so nothing can happen twice.
    pub(super) async fn ask(&self, access: &Access, request: &Request) -> Result<Answer, Failure> {
        let bearer = self.tokens.bearer(access).await?;
        let answer = self.client.send(request, &bearer).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let fresh = self.tokens.replace(access, &bearer).await?;
        let answer = self.client.send(request, &fresh).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(self.tokens.refused(access)),
            _ => Ok(answer),
        }
    }

    /// Asks what anybody may ask, without a credential.
    pub(super) async fn ask_anonymously(&self, request: &Request) -> Result<Answer, Failure> {
        self.client.send(request, &Bearer::anonymous()).await
    }
}

impl fmt::Debug for GitHubAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubAdapter").finish_non_exhaustive()
    }
}
