//! One pull request by its number, with its two ends, and the runs of its head.

use super::adapter::GitHubAdapter;
use super::answers;
use super::request::{Request, under};
use crate::domain::facts::{HeadRepository, Pull};
use crate::domain::ids::{AccountId, RepositoryId, RepositoryName};
use crate::domain::imagined::PullRequest;
use crate::domain::pin::RepositoryIds;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use serde::Deserialize;
use serde_json::Value;

/// The ends of a pull request.
#[derive(Deserialize)]
struct Ends {
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    private: Option<bool>,
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    id: Option<u64>,
    login: Option<String>,
}

impl Repository {
    fn into_head(self, requested_owner: &str) -> HeadRepository {
        HeadRepository {
            id: RepositoryId(self.id),
            // The owner is only a search term.
            owner: self
                .owner
                .and_then(|owner| owner.login)
                .unwrap_or_else(|| requested_owner.to_owned()),
        }
    }
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
            head_repository: head.repo.map(|head| head.into_head(repository.owner())),
            private: base.repo.as_ref().and_then(|base| base.private),
            repository: base.repo.map_or_else(RepositoryIds::default, |base| RepositoryIds {
                id: Some(RepositoryId(base.id)),
                owner_id: base.owner.and_then(|owner| owner.id).map(AccountId),
            }),
        }))
    }
}
