//! GitHub's tokens for the registration of runners.

use super::Failure;
use super::github::RunnerScope;
use async_trait::async_trait;
use secrecy::SecretString;

/// Makes tokens with which a runner program can register itself.
#[async_trait]
pub trait RegistrationTokens: Send + Sync + 'static {
    /// `POST .../actions/runners/registration-token`: returns a token that is valid for an hour.
    async fn registration_token(&self, scope: &RunnerScope) -> Result<SecretString, Failure>;
}
