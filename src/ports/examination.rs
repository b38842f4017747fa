//! The port to what `verify` asks GitHub about the webhook, the deployed workflows, the runner program and the time.

use super::Failure;
use super::github::RunnerScope;
use crate::domain::ids::RepositoryName;
use crate::domain::runner_release::Release;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// The webhook of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppWebhook {
    /// None if the App has no webhook.
    pub url: Option<String>,
    /// `json` or `form`.
    pub content_type: String,
    /// False if GitHub accepts any certificate of the receiver.
    pub verifies_certificate: bool,
}

/// Asks GitHub without changing anything. `None` for an object means that GitHub shows none.
#[async_trait]
pub trait Examination: Send + Sync + 'static {
    /// Returns true if the credentials are those of an App.
    fn is_app(&self) -> bool;

    /// `GET /meta`: returns how far this machine's clock is ahead of GitHub's, if the answer has a date.
    async fn clock_ahead(&self) -> Result<Option<TimeDelta>, Failure>;

    /// `GET /app/hook/config`.
    async fn webhook(&self) -> Result<Option<AppWebhook>, Failure>;

    /// `GET /repos/{o}/{r}/branches?protected=true`: returns at most 100 names.
    async fn protected_branches(&self, repository: &RepositoryName) -> Result<Vec<String>, Failure>;

    /// `GET /repos/{o}/{r}/contents/.github/workflows`: returns the paths of the files there. Without a branch it is the
    /// default branch.
    async fn workflows(&self, repository: &RepositoryName, branch: Option<&str>) -> Result<Vec<String>, Failure>;

    /// `GET /repos/{o}/{r}/contents/{path}`.
    async fn file(
        &self,
        repository: &RepositoryName,
        path: &str,
        branch: Option<&str>,
    ) -> Result<Option<String>, Failure>;

    /// `GET .../actions/runners/downloads`: returns the current release of the runner program.
    async fn runner_release(&self, scope: &RunnerScope) -> Result<Option<Release>, Failure>;

    /// `GET /repos/actions/runner/releases/tags/{tag}`: returns the date of a release.
    async fn released_at(&self, release: Release) -> Result<Option<DateTime<Utc>>, Failure>;
}
