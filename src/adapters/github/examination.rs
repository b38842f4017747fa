//! The questions of `verify` about the webhook, the deployed workflows, the runner program and the time.

use super::adapter::GitHubAdapter;
use super::client::Answer;
use super::request::{PER_PAGE, Request, encoded, under};
use super::token::{Access, Grant};
use crate::domain::ids::RepositoryName;
use crate::domain::runner_release::Release;
use crate::ports::Failure;
use crate::ports::examination::{AppWebhook, Examination};
use crate::ports::github::{Purpose, RunnerScope};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const WORKFLOWS: &str = ".github/workflows";

#[derive(Deserialize)]
struct ShownHook {
    url: Option<String>,
    content_type: Option<String>,
    insecure_ssl: Option<Value>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
struct Download {
    os: String,
    filename: String,
}

#[derive(Deserialize)]
struct ShownRelease {
    published_at: Option<DateTime<Utc>>,
}

fn found<A: DeserializeOwned>(answer: &Answer) -> Result<Option<A>, Failure> {
    match answer.status {
        StatusCode::OK => answer.read().map(Some),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(answer.unexpected()),
    }
}

fn contents(endpoint: &'static str, repository: &RepositoryName, path: &str, branch: Option<&str>) -> Request {
    let request = Request::get(
        endpoint,
        under(repository, &format!("contents/{}", encoded(path))),
        Purpose::Admit,
    );
    match branch {
        Some(branch) => request.with("ref", branch),
        None => request,
    }
}

#[async_trait]
impl Examination for GitHubAdapter {
    fn is_app(&self) -> bool {
        self.tokens().are_of_an_app()
    }

    async fn clock_ahead(&self) -> Result<Option<TimeDelta>, Failure> {
        let request = Request::get("meta", "/meta".to_owned(), Purpose::Admit);
        let answer = self.ask_anonymously(&request).await?;
        // A refusal has a date as well.
        Ok(answer.date.map(|date| self.client.clock.now() - date))
    }

    async fn webhook(&self) -> Result<Option<AppWebhook>, Failure> {
        let request = Request::get("app_hook", "/app/hook/config".to_owned(), Purpose::Admit);
        let shown: Option<ShownHook> = found(&self.ask_as_the_app(&request).await?)?;
        Ok(shown.map(|shown| AppWebhook {
            url: shown.url.filter(|url| !url.is_empty()),
            content_type: shown.content_type.unwrap_or_else(|| "form".to_owned()),
            verifies_certificate: shown.insecure_ssl.is_none_or(|word| word == "0" || word == 0),
        }))
    }

    async fn protected_branches(&self, repository: &RepositoryName) -> Result<Vec<String>, Failure> {
        let request = Request::get("branches", under(repository, "branches"), Purpose::Admit)
            .with("protected", true)
            .with("per_page", PER_PAGE);
        let answer = self.ask_about_jobs(repository, &request).await?;
        match found::<Vec<Branch>>(&answer)? {
            Some(branches) => Ok(branches.into_iter().map(|branch| branch.name).collect()),
            None => Err(answer.unexpected()),
        }
    }

    async fn workflows(&self, repository: &RepositoryName, branch: Option<&str>) -> Result<Vec<String>, Failure> {
        let request = contents("workflows", repository, WORKFLOWS, branch);
        let entries: Option<Vec<Entry>> = self.find(repository, &request).await?;
        let files = entries.unwrap_or_default().into_iter();
        Ok(files
            .filter(|entry| entry.kind == "file")
            .map(|entry| entry.path)
            .collect())
    }

    async fn file(
        &self,
        repository: &RepositoryName,
        path: &str,
        branch: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let request = contents("contents", repository, path, branch);
        let shown: Option<Content> = self.find(repository, &request).await?;
        let Some(shown) = shown else { return Ok(None) };
        let encoded: String = shown.content.split_whitespace().collect();
        let decoded = STANDARD.decode(encoded);
        let bytes = decoded.map_err(|_| Failure::Permanent(format!("{path}: GitHub's answer is not base64")))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn runner_release(&self, scope: &RunnerScope) -> Result<Option<Release>, Failure> {
        const PLACE: &str = "actions/runners/downloads";
        let (repository, path, grant) = match scope {
            RunnerScope::Repository(name) => (name, under(name, PLACE), Grant::RepositoryRunners),
            RunnerScope::Organization(name) => (
                name,
                format!("/orgs/{}/{PLACE}", encoded(name.owner())),
                Grant::OrganizationRunners,
            ),
        };
        let access = Access {
            repository: repository.clone(),
            grant,
        };
        let request = Request::get("runner_downloads", path, Purpose::Admit);
        let answer = self.ask(&access, &request).await?;
        let Some(downloads) = found::<Vec<Download>>(&answer)? else {
            return Err(answer.unexpected());
        };
        let mut for_linux = downloads.iter().filter(|download| download.os == "linux");
        Ok(for_linux.find_map(|download| Release::of_archive(&download.filename)))
    }

    async fn released_at(&self, release: Release) -> Result<Option<DateTime<Utc>>, Failure> {
        let path = format!("/repos/actions/runner/releases/tags/v{release}");
        let request = Request::get("runner_release", path, Purpose::Admit);
        let shown: Option<ShownRelease> = found(&self.ask_anonymously(&request).await?)?;
        Ok(shown.and_then(|shown| shown.published_at))
    }
}
