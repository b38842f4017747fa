//! The past as GitHub shows it: the App's delivery log and the lists of runs.
//!
//! A page that has not changed is answered 304 and costs no quota, so both can be read often.

use super::adapter::GitHubAdapter;
use super::request::{PER_PAGE, Request, under};
use crate::domain::ids::{AccountId, DeliveryId, RepositoryId, RepositoryName, RunId};
use crate::domain::pin::RepositoryIds;
use crate::ports::Failure;
use crate::ports::github::{DeliveryPage, ListedRun, LoggedDelivery, Purpose, Redelivery, RunState};
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Deserializer};

/// The number of runs in a page. A page of more would be too large for the cache of entity tags.
const RUNS_PER_PAGE: usize = 50;
/// GitHub lists at most 1,000 runs of a state.
const MAX_RUN_PAGES: usize = 20;

#[derive(Deserialize)]
struct Attempt {
    id: u64,
    guid: String,
    delivered_at: DateTime<Utc>,
    redelivery: Option<bool>,
    status: Option<String>,
    status_code: Option<u16>,
    event: Option<String>,
    action: Option<String>,
    repository_id: Option<u64>,
    installation_id: Option<u64>,
}

impl Attempt {
    /// Returns none for a GUID that no delivery can have.
    fn into_logged(self) -> Option<LoggedDelivery> {
        Some(LoggedDelivery {
            id: self.id,
            guid: DeliveryId::parse(&self.guid)?,
            delivered_at: self.delivered_at,
            redelivery: self.redelivery.unwrap_or(false),
            status: self.status.unwrap_or_default(),
            status_code: self.status_code.unwrap_or(0),
            event: self.event.unwrap_or_default(),
            action: self.action,
            repository_id: self.repository_id.map(RepositoryId),
            installation_id: self.installation_id,
        })
    }
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    run_attempt: Option<u32>,
    event: Option<String>,
    created_at: Option<DateTime<Utc>>,
    repository: Option<Repository>,
    #[serde(default, deserialize_with = "head_repository")]
    head_repository: HeadRepository,
}

/// The repository that the code of a run comes from.
#[derive(Default)]
enum HeadRepository {
    /// The answer does not contain it.
    #[default]
    NotShown,
    /// It was deleted, which happens to forks.
    Gone,
    Id(u64),
}

fn head_repository<'de, D: Deserializer<'de>>(field: D) -> Result<HeadRepository, D::Error> {
    let head: Option<Repository> = Option::deserialize(field)?;
    Ok(head.map_or(HeadRepository::Gone, |head| HeadRepository::Id(head.id)))
}

impl HeadRepository {
    fn is_fork_of(&self, repository: Option<u64>) -> bool {
        match self {
            Self::NotShown => false,
            Self::Gone => true,
            Self::Id(id) => repository.is_some_and(|repository| repository != *id),
        }
    }
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    id: Option<u64>,
}

impl From<Run> for ListedRun {
    fn from(run: Run) -> Self {
        let (id, owner) = run
            .repository
            .map(|repository| (repository.id, repository.owner))
            .unzip();
        Self {
            id: RunId(run.id),
            attempt: run.run_attempt.unwrap_or(1),
            event: run.event.unwrap_or_default(),
            of: RepositoryIds {
                id: id.map(RepositoryId),
                owner_id: owner.flatten().and_then(|owner| owner.id).map(AccountId),
            },
            from_fork: run.head_repository.is_fork_of(id),
            created_at: run.created_at,
        }
    }
}

impl GitHubAdapter {
    pub(super) async fn list_runs(
        &self,
        repository: &RepositoryName,
        state: RunState,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure> {
        let mut runs = Vec::new();
        for page in 1..=MAX_RUN_PAGES {
            let request = Request::get("runs", under(repository, "actions/runs"), purpose)
                .with("status", state.as_str())
                .with("per_page", RUNS_PER_PAGE)
                .with("page", page);
            let answer = self.ask_about_jobs(repository, &request).await?;
            if answer.status != StatusCode::OK {
                return Err(answer.unexpected());
            }
            let found: Runs = answer.read()?;
            let was_last = found.workflow_runs.len() < RUNS_PER_PAGE;
            runs.extend(found.workflow_runs.into_iter().map(ListedRun::from));
            if was_last {
                break;
            }
        }
        Ok(runs)
    }

    pub(super) async fn list_runs_of_commit(
        &self,
        repository: &RepositoryName,
        commit: &str,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure> {
        let request = Request::get("runs", under(repository, "actions/runs"), purpose)
            .with("head_sha", commit)
            .with("per_page", RUNS_PER_PAGE);
        let found: Option<Runs> = self.find(repository, &request).await?;
        let runs = found.map_or_else(Vec::new, |found| found.workflow_runs);
        Ok(runs.into_iter().map(ListedRun::from).collect())
    }

    pub(super) async fn list_deliveries(&self, cursor: Option<&str>) -> Result<DeliveryPage, Failure> {
        let mut request =
            Request::get("deliveries", "/app/hook/deliveries".to_owned(), Purpose::Recover).with("per_page", PER_PAGE);
        if let Some(cursor) = cursor {
            request = request.with("cursor", cursor);
        }
        let answer = self.ask_as_the_app(&request).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected());
        }
        let attempts: Vec<Attempt> = answer.read()?;
        Ok(DeliveryPage {
            deliveries: attempts.into_iter().filter_map(Attempt::into_logged).collect(),
            next: answer.next,
        })
    }

    pub(super) async fn request_redelivery(&self, id: u64) -> Result<Redelivery, Failure> {
        let path = format!("/app/hook/deliveries/{id}/attempts");
        let mut request = Request::change("redeliver", Method::POST, path, None);
        request.purpose = Purpose::Recover;
        let answer = self.ask_as_the_app(&request).await?;
        match answer.status {
            StatusCode::ACCEPTED => Ok(Redelivery::Accepted),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Redelivery::Impossible)
            }
            _ => Err(answer.unexpected()),
        }
    }
}
