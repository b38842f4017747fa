//! A job that does not exist yet: the event that GitHub would send about it, and the facts that follow from its pull
//! request. The rules of a decision then apply to it as to any other job.

use super::event::{Action, Job, JobEvent, JobStatus};
use super::facts::{Fact, Facts, HeadRepository, LiveJob, Pull, Run};
use super::ids::{JobId, RepositoryName, RunId};
use super::pin::RepositoryIds;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The ids of what does not exist; GitHub counts from 1.
const NO_ID: u64 = 0;
/// The name of the job, which no workflow needs.
const NAME: &str = "imagined";

/// A pull request with its two ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullRequest {
    #[serde(flatten)]
    pub pull: Pull,
    /// The head branch.
    pub branch: String,
    /// The repository of the head; none if it was deleted.
    pub head_repository: Option<HeadRepository>,
    /// The repository that the pull request belongs to.
    #[serde(skip)]
    pub repository: RepositoryIds,
    /// True if that repository is private. An absent value counts as public.
    #[serde(skip)]
    pub private: Option<bool>,
}

impl PullRequest {
    /// Returns true if the head is in another repository, or in one that was deleted.
    #[must_use]
    pub fn is_from_fork(&self) -> bool {
        let head = self.head_repository.as_ref().map(|head| head.id);
        head.is_none() || head != self.repository.id
    }

    /// Returns the event about a queued job with these labels.
    #[must_use]
    pub fn imagined_event(&self, repository: &RepositoryName, labels: &[String], now: DateTime<Utc>) -> JobEvent {
        JobEvent {
            action: Action::Queued,
            repository: repository.to_string(),
            ids: self.repository,
            job: Job {
                id: JobId(NO_ID),
                run_id: RunId(NO_ID),
                run_attempt: 1,
                name: NAME.to_owned(),
                head_sha: self.pull.head_sha.clone(),
                labels: labels.to_vec(),
                status: JobStatus::Queued,
                conclusion: None,
                created_at: Some(now),
                started_at: None,
                completed_at: None,
                runner: None,
                steps: Vec::new(),
            },
            synthesized: false,
        }
    }

    /// Returns the facts about that job in a first attempt of this workflow that the author of the pull request causes.
    /// Without the id of the repository nothing is known.
    #[must_use]
    pub fn imagined_facts(&self, event: &JobEvent, workflow: &str) -> Facts {
        let run = self.repository.id.map(|id| Run {
            event: "pull_request".to_owned(),
            path: workflow.to_owned(),
            run_attempt: 1,
            head_sha: self.pull.head_sha.clone(),
            head_branch: Some(self.branch.clone()),
            created_at: event.job.created_at,
            actor: self.pull.author.clone(),
            triggering_actor: self.pull.author.clone(),
            repository_id: id,
            repository_owner_id: self.repository.owner_id,
            head_repository: self.head_repository.clone(),
            private: self.private,
        });
        Facts {
            run: run.map_or(Fact::Gone, Fact::Known),
            live_job: Fact::Known(LiveJob::from(&event.job)),
            ..Facts::default()
        }
    }
}
