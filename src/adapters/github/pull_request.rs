//! One pull request by its number, with its two ends, and the runs of its head.

use super::adapter::GitHubAdapter;
use super::answers;
use super::request::{Request, under};
use crate::domain::facts::Pull;
use crate::domain::ids::RepositoryName;
use crate::domain::imagined::PullRequest;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use serde::Deserialize;
use serde_json::Value;

/// The ends of a pull request.
#[derive(Deserialize)]
struct Ends {
    head: End<answers::HeadRepository>,
    base: End<answers::OwnRepository>,
}

#[derive(Deserialize)]
struct End<R> {
    #[serde(rename = "ref")]
    branch: String,
    repo: Option<R>,
}

impl GitHubAdapter {
    pub(super) async fn find_pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<PullRequest>, Failure> {
        let request = Request::get("pull", under(repository, &format!("pulls/{number}")), purpose);
        let Some(shown): Option<Value> = self.find(repository, &request).await? else {
            return Ok(None);
        };
        let unreadable = |error| Failure::Transient(format!("GitHub sent an unreadable pull request: {error}"));
        let Ends { head, base } = Ends::deserialize(&shown).map_err(unreadable)?;
        let pull = answers::Pull::deserialize(&shown).map_err(unreadable)?;
        Ok(Some(PullRequest {
            pull: Pull::from(pull),
            branch: head.branch,
            head_repository: head.repo.and_then(|head| head.into_fact(repository.owner())),
            private: base.repo.as_ref().and_then(|base| base.private),
            repository: base.repo.map(answers::OwnRepository::into_ids).unwrap_or_default(),
        }))
    }
}
