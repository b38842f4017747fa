//! Pull requests: those of a head branch, and the files, events and commits of one.

use super::adapter::GitHubAdapter;
use super::answers;
use super::request::{PER_PAGE, Request, under};
use crate::domain::facts::{Commit, Pull};
use crate::domain::ids::{RepositoryId, RepositoryName};
use crate::ports::Failure;
use crate::ports::github::{Changes, MAX_FILE_PAGES, Purpose};
use http::StatusCode;

/// More than 1,000 pull requests from one branch are not a real use.
const MAX_PULL_PAGES: usize = 10;

/// Limits the pages of a pull request's events that are read, because its author can create any number of events.
const MAX_EVENT_PAGES: usize = 3;

/// GitHub lists at most this many commits of a pull request.
const MAX_LISTED_COMMITS: usize = 250;

const MAX_COMMIT_PAGES: usize = 3;

impl GitHubAdapter {
    pub(super) async fn list_pulls(
        &self,
        repository: &RepositoryName,
        owner: &str,
        branch: &str,
        head_repository: RepositoryId,
        purpose: Purpose,
    ) -> Result<Vec<Pull>, Failure> {
        let mut found = Vec::new();
        for page in 1..=MAX_PULL_PAGES {
            let request = Request::get("pulls", under(repository, "pulls"), purpose)
                .with("state", "all")
                .with("head", format!("{owner}:{branch}"))
                .with("per_page", PER_PAGE)
                .with("page", page);
            let answer = self.ask_about_jobs(repository, &request).await?;
            if answer.status != StatusCode::OK {
                return Err(answer.unexpected());
            }
            let pulls: Vec<answers::Pull> = answer.read()?;
            let was_last = pulls.len() < PER_PAGE;
            let matching = pulls.into_iter().filter(|pull| pull.comes_from(head_repository));
            found.extend(matching.map(Pull::from));
            if was_last {
                return Ok(found);
            }
        }
        let max = MAX_PULL_PAGES * PER_PAGE;
        Err(Failure::Permanent(format!(
            "{repository}: one branch has more than {max} pull requests"
        )))
    }

    pub(super) async fn find_changed_file(
        &self,
        repository: &RepositoryName,
        number: u64,
        prefix: &str,
        purpose: Purpose,
    ) -> Result<Changes, Failure> {
        for pages in 1..=MAX_FILE_PAGES {
            let found = |touches| Ok(Changes { touches, pages });
            let path = under(repository, &format!("pulls/{number}/files"));
            let request = Request::get("pull_files", path, purpose)
                .with("per_page", PER_PAGE)
                .with("page", pages);
            let answer = self.ask_about_jobs(repository, &request).await?;
            match answer.status {
                StatusCode::OK => {}
                // GitHub cannot compute the diff, which the author may have caused on purpose.
                StatusCode::UNPROCESSABLE_ENTITY => return found(true),
                _ => return Err(answer.unexpected()),
            }
            let files: Vec<answers::ChangedFile> = answer.read()?;
            let touches = files.iter().any(|file| file.touches(prefix));
            if touches || files.len() < PER_PAGE {
                return found(touches);
            }
        }
        Ok(Changes {
            touches: true,
            pages: MAX_FILE_PAGES,
        })
    }

    pub(super) async fn find_base_change(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<bool, Failure> {
        for page in 1..=MAX_EVENT_PAGES {
            let path = under(repository, &format!("issues/{number}/events"));
            let request = Request::get("issue_events", path, purpose)
                .with("per_page", PER_PAGE)
                .with("page", page);
            // A pull request cannot be deleted, so a number that GitHub does not know has no events.
            let found: Option<Vec<answers::IssueEvent>> = self.find(repository, &request).await?;
            let events = found.unwrap_or_default();
            if events.iter().any(answers::IssueEvent::changes_the_base) {
                return Ok(true);
            }
            if events.len() < PER_PAGE {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) async fn list_commits(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<Vec<Commit>>, Failure> {
        let mut commits = Vec::new();
        for page in 1..=MAX_COMMIT_PAGES {
            let path = under(repository, &format!("pulls/{number}/commits"));
            let request = Request::get("pull_commits", path, purpose)
                .with("per_page", PER_PAGE)
                .with("page", page);
            let found: Option<Vec<answers::PullCommit>> = self.find(repository, &request).await?;
            let found = found.unwrap_or_default();
            let was_last = found.len() < PER_PAGE;
            commits.extend(found.into_iter().map(Commit::from));
            if was_last {
                break;
            }
        }
        Ok(Some(commits).filter(|commits| commits.len() < MAX_LISTED_COMMITS))
    }
}
