//! The bot of the App, which is the actor of everything that the App does.

use super::adapter::GitHubAdapter;
use super::request::Request;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use http::StatusCode;
use serde::Deserialize;

#[derive(Deserialize)]
struct App {
    slug: String,
}

impl GitHubAdapter {
    /// Returns the login of the App's bot, or none if the credentials are not an App's. GitHub derives the login from the
    /// App's slug, which changes with its name.
    pub(super) async fn find_own_bot(&self) -> Result<Option<String>, Failure> {
        if !self.tokens().are_of_an_app() {
            return Ok(None);
        }
        let request = Request::get("app", "/app".to_owned(), Purpose::Admit);
        let answer = self.ask_as_the_app(&request).await?;
        match answer.status {
            StatusCode::OK => answer.read().map(|App { slug }| Some(format!("{slug}[bot]"))),
            _ => Err(answer.unexpected()),
        }
    }
}
