//! Labels: what could reach a runner of ours.
//!
//! Labels are no boundary. Whoever edits a workflow can write them, and GitHub gives a job to any idle runner that has
//! them all. So jobs are classed by what could happen, not by what was meant.

use super::event::Job;
use serde::{Deserialize, Serialize};

/// Which labels are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPolicy {
    /// Every label a runner of ours carries, the run label aside.
    pub labels: Vec<String>,
    /// The one of them that asks for trust.
    pub trust_label: String,
    /// What a run label starts with. `RUN` follows, or `RUN-ATTEMPT-JOB-INDEX`, which only one job has.
    pub run_label_prefix: String,
}

/// What a job's labels could reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelsClass {
    /// Asks for us in the way our workflows do.
    Pool,
    /// Not what we serve, but a runner of ours could match it.
    Reachable,
    /// Other people's self-hosted runners.
    Foreign,
    /// GitHub's runners.
    Hosted,
}

impl LabelsClass {
    /// The word used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Reachable => "reachable",
            Self::Foreign => "foreign",
            Self::Hosted => "hosted",
        }
    }

    /// Whether a runner of ours could be given such a job.
    #[must_use]
    pub fn could_reach_us(self) -> bool {
        matches!(self, Self::Pool | Self::Reachable)
    }
}

impl LabelPolicy {
    /// Classes a job. Case and order of labels mean nothing.
    #[must_use]
    pub fn classify(&self, job: &Job) -> LabelsClass {
        if job.labels.is_empty() {
            // `runs-on` with only a group shows no labels; a job that was skipped shows none either.
            return if job.was_skipped() {
                LabelsClass::Hosted
            } else {
                LabelsClass::Reachable
            };
        }
        let all = |test: &dyn Fn(&str) -> bool| job.labels.iter().all(|label| test(label));
        let has_trust_label = self.has_trust_label(&job.labels);
        if has_trust_label && all(&|label| self.is_ours(label) || self.is_run_label_of(job, label)) {
            LabelsClass::Pool
        } else if all(&|label| self.is_ours(label) || self.is_some_run_label(label)) {
            LabelsClass::Reachable
        } else if has_trust_label || has(&job.labels, "self-hosted") {
            LabelsClass::Foreign
        } else {
            LabelsClass::Hosted
        }
    }

    /// Whether the trust label is among `labels`.
    #[must_use]
    pub fn has_trust_label(&self, labels: &[String]) -> bool {
        has(labels, &self.trust_label)
    }

    fn is_ours(&self, label: &str) -> bool {
        has(&self.labels, label)
    }

    /// Whether a label names the job's own run, in one of its two forms.
    fn is_run_label_of(&self, job: &Job, label: &str) -> bool {
        let Some(rest) = self.after_the_prefix(label) else {
            return false;
        };
        let (run, place) = rest
            .split_once('-')
            .map_or((rest, None), |(run, place)| (run, Some(place)));
        number(run) == Some(job.run_id.0) && place.is_none_or(|place| is_place(place, job.run_attempt))
    }

    fn is_some_run_label(&self, label: &str) -> bool {
        self.after_the_prefix(label).is_some()
    }

    /// An empty prefix means that no run labels are used.
    fn after_the_prefix<'a>(&self, label: &'a str) -> Option<&'a str> {
        let prefix = &self.run_label_prefix;
        let (start, rest) = label.split_at_checked(prefix.len()).filter(|_| !prefix.is_empty())?;
        start.eq_ignore_ascii_case(prefix).then_some(rest)
    }
}

/// Whether a text is `ATTEMPT-JOB-INDEX`. A re-run of failed jobs keeps the labels of the attempt before, so an earlier
/// attempt is right, and a later one is not.
fn is_place(text: &str, run_attempt: u32) -> bool {
    let parts = text.split_once('-').and_then(|(attempt, rest)| {
        let (job, index) = rest.rsplit_once('-')?;
        Some((number(attempt)?, job, number(index)?))
    });
    parts.is_some_and(|(attempt, job, _)| (1..=u64::from(run_attempt)).contains(&attempt) && is_job_key(job))
}

/// Whether a text is the key of a job in a workflow, by GitHub's rule.
fn is_job_key(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A number as GitHub writes it: digits only, and no zero in front.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn has(labels: &[String], wanted: &str) -> bool {
    labels.iter().any(|label| label.eq_ignore_ascii_case(wanted))
}
