//! Label classes: whether a job's labels could match one of our runners.
//!
//! Labels are no security boundary. Anyone who edits a workflow can choose them, and GitHub gives a job to any idle
//! runner that has all of them. A job is therefore classified by the runners that it could reach, not by the intention
//! of its author.

use super::event::Job;
use super::slot::SlotSize;
use serde::{Deserialize, Serialize};

/// The labels that belong to jitgate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPolicy {
    /// Every label of our runners, except the run label.
    pub labels: Vec<String>,
    /// The label that only trusted jobs may use.
    pub trust_label: String,
    /// Prefix of run labels. `RUN` follows, or `RUN-ATTEMPT-JOB-INDEX`, which is unique to one job.
    pub run_label_prefix: String,
    /// The labels of the sizes of slots. A job can have one of them in addition.
    pub sizes: Vec<String>,
}

/// The kind of runner that a job's labels could reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelsClass {
    /// The labels that our workflows use for self-hosted jobs.
    Pool,
    /// Labels that jitgate does not serve, but that one of our runners could match.
    Reachable,
    /// Labels of self-hosted runners that are not ours.
    Foreign,
    /// Labels of GitHub's runners.
    Hosted,
}

impl LabelsClass {
    /// Returns the name used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Reachable => "reachable",
            Self::Foreign => "foreign",
            Self::Hosted => "hosted",
        }
    }

    /// Returns true if GitHub could give such a job to one of our runners.
    #[must_use]
    pub fn could_reach_us(self) -> bool {
        matches!(self, Self::Pool | Self::Reachable)
    }
}

impl LabelPolicy {
    /// Classifies a job by its labels. Their case and order are irrelevant.
    #[must_use]
    pub fn classify(&self, job: &Job) -> LabelsClass {
        if job.labels.is_empty() {
            // `runs-on` with only a group shows no labels, and neither does a skipped job.
            return if job.was_skipped() {
                LabelsClass::Hosted
            } else {
                LabelsClass::Reachable
            };
        }
        let all = |test: &dyn Fn(&str) -> bool| job.labels.iter().all(|label| test(label));
        let has_trust_label = self.has_trust_label(&job.labels);
        // No runner has the labels of two sizes.
        let has_one_size = self.sizes_in(&job.labels).count() <= 1;
        let is_ours = |label: &str| self.is_ours(label) || has(&self.sizes, label);
        if has_one_size && has_trust_label && all(&|label| is_ours(label) || self.is_run_label_of(job, label)) {
            LabelsClass::Pool
        } else if has_one_size && all(&|label| is_ours(label) || self.is_some_run_label(label)) {
            LabelsClass::Reachable
        } else if has_trust_label || has(&job.labels, "self-hosted") {
            LabelsClass::Foreign
        } else {
            LabelsClass::Hosted
        }
    }

    /// Returns true if `labels` contains the trust label.
    #[must_use]
    pub fn has_trust_label(&self, labels: &[String]) -> bool {
        has(labels, &self.trust_label)
    }

    /// Returns the size that these labels request, as the configuration spells it, or none for the default size.
    #[must_use]
    pub fn size_of(&self, labels: &[String]) -> SlotSize {
        self.sizes_in(labels).next().cloned()
    }

    fn sizes_in<'a>(&'a self, labels: &'a [String]) -> impl Iterator<Item = &'a String> {
        self.sizes.iter().filter(|size| has(labels, size))
    }

    /// Returns true if the job has its own run label.
    #[must_use]
    pub fn has_run_label(&self, job: &Job) -> bool {
        job.labels.iter().any(|label| self.is_run_label_of(job, label))
    }

    fn is_ours(&self, label: &str) -> bool {
        has(&self.labels, label)
    }

    /// Returns true if the label names the job's own run, in one of the two forms.
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

    /// Returns the rest of the label. An empty prefix disables run labels.
    fn after_the_prefix<'a>(&self, label: &'a str) -> Option<&'a str> {
        let prefix = &self.run_label_prefix;
        let (start, rest) = label.split_at_checked(prefix.len()).filter(|_| !prefix.is_empty())?;
        start.eq_ignore_ascii_case(prefix).then_some(rest)
    }
}

/// Returns true if the text is `ATTEMPT-JOB-INDEX`. A re-run of failed jobs keeps the labels of the previous attempt,
/// so an earlier attempt is accepted and a later one is not.
fn is_place(text: &str, run_attempt: u32) -> bool {
    let parts = text.split_once('-').and_then(|(attempt, rest)| {
        let (job, index) = rest.rsplit_once('-')?;
        Some((number(attempt)?, job, number(index)?))
    });
    parts.is_some_and(|(attempt, job, _)| (1..=u64::from(run_attempt)).contains(&attempt) && is_job_key(job))
}

/// Returns true if the text is a job key by GitHub's rule for workflows.
fn is_job_key(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Parses a number as GitHub writes it: digits only, without leading zeros.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn has(labels: &[String], wanted: &str) -> bool {
    labels.iter().any(|label| label.eq_ignore_ascii_case(wanted))
}
