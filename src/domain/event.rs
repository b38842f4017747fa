//! A `workflow_job` delivery in our own words.

use super::ids::{JobId, RunId, RunnerId};
use super::pin::RepositoryIds;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a delivery says happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    /// The event's own action.
    pub action: Action,
    /// The repository as the payload names it; compared with the configured ones before anything else.
    pub repository: String,
    /// The ids of that repository, as far as the payload says.
    #[serde(default)]
    pub ids: RepositoryIds,
    /// The job as the payload shows it.
    pub job: Job,
}

/// The `action` of a `workflow_job` delivery. Actions unknown to us are ignored before a [`JobEvent`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Waits for a runner.
    Queued,
    /// Waits for something else first: an approval, a concurrency group.
    Waiting,
    /// Runs.
    InProgress,
    /// Ended, or was skipped, or was cancelled before it began.
    Completed,
}

impl Action {
    /// Reads GitHub's word; none for an action we don't know.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "queued" => Self::Queued,
            "waiting" => Self::Waiting,
            "in_progress" => Self::InProgress,
            "completed" => Self::Completed,
            _ => return None,
        })
    }

    /// GitHub's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// The attempt of a job whose payload does not say it; GitHub counts from 1.
pub const UNSAID_ATTEMPT: u32 = 0;

/// The `workflow_job` object, reduced to what decisions are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The run it belongs to.
    pub run_id: RunId,
    /// Which attempt of the run; [`UNSAID_ATTEMPT`] where the payload leaves it out.
    pub run_attempt: u32,
    /// Name as shown in the user interface; written by whoever edits the workflow.
    pub name: String,
    /// The commit the job runs for.
    pub head_sha: String,
    /// What `runs-on` asked for, in its own case and order.
    pub labels: Vec<String>,
    /// GitHub's status; for a `queued` action it can still be [`JobStatus::Waiting`].
    pub status: JobStatus,
    /// `success`, `failure`, `skipped`, `cancelled`, ...; none while it is not over.
    pub conclusion: Option<String>,
    /// When the job was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When the job started. GitHub fills it while the job is still queued.
    pub started_at: Option<DateTime<Utc>>,
    /// The runner that took the job; none for id null or 0.
    pub runner: Option<JobRunner>,
    /// The job's steps so far, as the runner reported them: no evidence about a hostile guest.
    pub steps: Vec<Step>,
}

impl Job {
    /// Whether GitHub skipped the job, or ended it with its run before it had even looked at `runs-on`: then there are
    /// neither labels nor a runner. Such a job reached no runner and is not judged.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        let never_placed = self.labels.is_empty() && self.runner.is_none();
        self.conclusion
            .as_deref()
            .is_some_and(|conclusion| conclusion == "skipped" || never_placed)
    }

    /// Whether the payload leaves out something that decisions rest on.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let unsaid = self.run_attempt == UNSAID_ATTEMPT || self.head_sha.is_empty() || self.labels.is_empty();
        (unsaid || self.status == JobStatus::Other) && !self.was_skipped()
    }

    /// Takes what the payload leaves out from GitHub's own record of the job.
    pub fn complete_from(&mut self, live: &Self) {
        if self.run_attempt == UNSAID_ATTEMPT {
            self.run_attempt = live.run_attempt.max(1);
        }
        if self.head_sha.is_empty() {
            self.head_sha.clone_from(&live.head_sha);
        }
        if self.labels.is_empty() {
            self.labels.clone_from(&live.labels);
        }
        if self.status == JobStatus::Other {
            self.status = live.status;
        }
    }

    /// How long the job waited for a runner, by GitHub's own times: these say so once the job runs, not before.
    #[must_use]
    pub fn queue_wait(&self) -> Option<Duration> {
        self.runner.as_ref()?;
        (self.started_at? - self.created_at?).to_std().ok()
    }

    /// From the job's start to its first step that is neither the runner's own nor the preparation of an action.
    #[must_use]
    pub fn setup_latency(&self) -> Option<Duration> {
        let proper = |step: &&Step| step.is_the_workflows_and_ran() && !step.name.starts_with("Pre ");
        let first = self.steps.iter().filter(proper).find_map(|step| step.started_at)?;
        (first - self.started_at?).to_std().ok()
    }
}

/// GitHub's status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Can be given to a runner.
    Queued,
    /// Held back: `waiting`, `pending` or `requested`.
    Waiting,
    /// Runs.
    InProgress,
    /// Over.
    Completed,
    /// A word GitHub did not have when this was written. Never served.
    Other,
}

impl JobStatus {
    /// Reads GitHub's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "queued" => Self::Queued,
            "waiting" | "pending" | "requested" => Self::Waiting,
            "in_progress" => Self::InProgress,
            "completed" => Self::Completed,
            _ => Self::Other,
        }
    }
}

/// The runner a job was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRunner {
    /// GitHub's id of the runner.
    pub id: RunnerId,
    /// Its name.
    pub name: String,
}

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Name as shown in the user interface.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, `skipped`, `cancelled`; none while it is not over.
    pub conclusion: Option<String>,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
}

impl Step {
    fn is_the_workflows_and_ran(&self) -> bool {
        let runners_own = matches!(
            self.name.as_str(),
            "Set up job"
                | "Set up runner"
                | "Initialize containers"
                | "Complete job"
                | "Complete runner"
                | "Stop containers"
        );
        let began = match self.status.as_str() {
            "in_progress" => true,
            "completed" => !matches!(self.conclusion.as_deref(), None | Some("skipped" | "cancelled")),
            _ => false,
        };
        !runners_own && began
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(second))
    }

    fn job(steps: &[(&str, &str, i64)]) -> Job {
        let step = |(name, conclusion, second): &(&str, &str, i64)| Step {
            name: (*name).to_owned(),
            status: "completed".to_owned(),
            conclusion: Some((*conclusion).to_owned()),
            started_at: at(*second),
        };
        Job {
            id: JobId(1),
            run_id: RunId(2),
            run_attempt: 1,
            name: "web".to_owned(),
            head_sha: "sha".to_owned(),
            labels: Vec::new(),
            status: JobStatus::Completed,
            conclusion: None,
            created_at: at(100),
            started_at: at(130),
            runner: Some(JobRunner {
                id: RunnerId(3),
                name: "runner".to_owned(),
            }),
            steps: steps.iter().map(step).collect(),
        }
    }

    #[test]
    fn setup_ends_with_the_first_step_that_a_workflow_wrote() {
        let seconds = |steps: &[_]| job(steps).setup_latency().map(|latency| latency.as_secs());
        let setup = [
            ("Set up job", "success", 130),
            ("Set up runner", "success", 133),
            ("Initialize containers", "success", 134),
            ("Pre Run actions/cache@v4", "success", 140),
        ];
        let with = |more: &[(&'static str, &'static str, i64)]| [&setup[..], more].concat();
        assert_eq!(
            seconds(&with(&[
                ("Only on main", "skipped", 141),
                ("Run make", "failure", 142),
                ("Complete job", "success", 150),
            ])),
            Some(12)
        );
        assert_eq!(seconds(&with(&[("Complete job", "success", 150)])), None);
        assert_eq!(seconds(&[("Run make", "success", 129)]), None, "clocks that disagree");
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn a_job_waits_until_a_runner_has_it() {
        let waited = job(&[]);
        assert_eq!(waited.queue_wait(), Some(Duration::from_secs(30)));
        let hosted = Job {
            runner: None,
            ..waited.clone()
        };
        assert_eq!(hosted.queue_wait(), None);
        let untold = Job {
            created_at: None,
            ..waited
        };
        assert_eq!(untold.queue_wait(), None);
    }
}
