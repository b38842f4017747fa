//! The content of a `workflow_job` delivery, in the terms of the domain.

use super::ids::{JobId, RunId, RunnerId};
use super::pin::RepositoryIds;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A change of a job's state, as a delivery reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    pub action: Action,
    /// The repository name in the payload. It is compared with the configured names before any other check.
    pub repository: String,
    /// The ids of the repository, as far as the payload has them.
    #[serde(default)]
    pub ids: RepositoryIds,
    pub job: Job,
    /// True if jitgate synthesized the event because GitHub's delivery did not arrive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub synthesized: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The `action` of a `workflow_job` delivery. Unknown actions are ignored before a [`JobEvent`] is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The job waits for a runner.
    Queued,
    /// The job waits for an approval or a concurrency group.
    Waiting,
    /// The job runs.
    InProgress,
    /// The job ended, was skipped, or was cancelled before its start.
    Completed,
}

impl Action {
    /// Parses GitHub's name of the action. Returns `None` for an unknown action.
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

    /// Returns GitHub's name of the action.
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

/// The attempt of a job whose payload lacks it. GitHub counts from 1.
pub const MISSING_ATTEMPT: u32 = 0;

/// The `workflow_job` object, reduced to the fields that decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub run_id: RunId,
    /// The attempt of the run, or [`MISSING_ATTEMPT`] if the payload lacks it.
    pub run_attempt: u32,
    /// The displayed name. Anyone who edits the workflow can choose it.
    pub name: String,
    pub head_sha: String,
    /// The labels of `runs-on`, in their original case and order.
    pub labels: Vec<String>,
    /// GitHub's status. It can be [`JobStatus::Waiting`] although the action is `queued`.
    pub status: JobStatus,
    /// `success`, `failure`, `skipped`, `cancelled`, ...; `None` until the job is completed.
    pub conclusion: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    /// The start time. GitHub sets it although the job is still queued.
    pub started_at: Option<DateTime<Utc>>,
    /// The end of the job.
    #[serde(default)]
    pub completed_at: Option<DateTime<Utc>>,
    /// The runner that took the job; `None` for the id null or 0.
    pub runner: Option<JobRunner>,
    /// The steps so far, as the runner reported them. A hostile runner can report anything, so they are no evidence.
    pub steps: Vec<Step>,
}

impl Job {
    /// Returns true if GitHub skipped the job, or ended it with its run before it evaluated `runs-on`. Such a job has
    /// neither labels nor a runner, reached no runner and is not judged.
    #[must_use]
    pub fn was_skipped(&self) -> bool {
        let never_placed = self.labels.is_empty() && self.runner.is_none();
        self.conclusion
            .as_deref()
            .is_some_and(|conclusion| conclusion == "skipped" || never_placed)
    }

    /// Returns true if the payload lacks a field that decisions depend on.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let unsaid = self.run_attempt == MISSING_ATTEMPT || self.head_sha.is_empty() || self.labels.is_empty();
        (unsaid || self.status == JobStatus::Other) && !self.was_skipped()
    }

    /// Copies the missing fields from GitHub's live record of the job.
    pub fn complete_from(&mut self, live: &Self) {
        if self.run_attempt == MISSING_ATTEMPT {
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

    /// Returns the time that the job waited for a runner, by GitHub's clock. GitHub's times are valid only after the
    /// start of the job.
    #[must_use]
    pub fn queue_wait(&self) -> Option<Duration> {
        self.runner.as_ref()?;
        (self.started_at? - self.created_at?).to_std().ok()
    }

    /// Returns the time from the job's start to its first step that belongs neither to the runner nor to the
    /// preparation of an action.
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
    /// GitHub can give the job to a runner.
    Queued,
    /// GitHub holds the job: `waiting`, `pending` or `requested`.
    Waiting,
    /// The job runs.
    InProgress,
    /// The job ended.
    Completed,
    /// A status that this version does not know. Such a job is never served.
    Other,
}

impl JobStatus {
    /// Parses GitHub's name of the status.
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

/// The runner that GitHub gave a job to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRunner {
    pub id: RunnerId,
    pub name: String,
}

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The displayed name.
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// `success`, `failure`, `skipped`, `cancelled`; `None` until the step is completed.
    pub conclusion: Option<String>,
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
    use crate::domain::samples;
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
            created_at: at(100),
            started_at: at(130),
            runner: Some(JobRunner {
                id: RunnerId(3),
                name: "runner".to_owned(),
            }),
            steps: steps.iter().map(step).collect(),
            ..samples::job(JobStatus::Completed)
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
