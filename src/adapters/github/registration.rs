//! The implementation of the port for registration tokens.

use super::adapter::GitHubAdapter;
use super::api::runners_path;
use super::request::Request;
use crate::ports::github::RunnerScope;
use crate::ports::{Failure, RegistrationTokens};
use async_trait::async_trait;
use http::{Method, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Deserialize)]
struct RegistrationToken {
    token: String,
}

#[async_trait]
impl RegistrationTokens for GitHubAdapter {
    async fn registration_token(&self, scope: &RunnerScope) -> Result<SecretString, Failure> {
        let path = format!("{}/registration-token", runners_path(scope));
        let request = Request::change("registration_token", Method::POST, path, None);
        let answer = self.ask_about_runners(scope, &request).await?;
        match answer.status {
            StatusCode::CREATED => {
                let made: RegistrationToken = answer.read()?;
                Ok(SecretString::from(made.token))
            }
            _ => Err(answer.unexpected()),
        }
    }
}
