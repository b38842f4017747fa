//! `[routing]`: the jobs that belong on self-hosted runners. A repository can override each key.

use super::check::{Check, Reported};
use crate::domain::labels::LabelPolicy;
use crate::domain::policy::RoutingPolicy;
use globset::{GlobBuilder, GlobSet};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// GitHub accepts 100 labels for a runner; one is the run label.
const MAX_LABELS: usize = 99;
pub(super) const MAX_LABEL_CHARS: usize = 100;
/// Permitted characters in addition to letters and digits. Many tools separate labels by commas, and `$` or quotes
/// indicate a template.
pub(super) const LABEL_PUNCTUATION: &str = "-_.:/";

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRouting {
    /// Labels of every runner, without the run label.
    #[schemars(length(min = 1))]
    pub(super) labels: Vec<String>,
    /// Label that only trusted jobs may use; one of `labels`.
    pub(super) trust_label: String,
    /// Prefix of run labels. The run's id follows, or `RUN-ATTEMPT-JOB-INDEX`.
    pub(super) run_label_prefix: String,
    /// Globs of the workflow files that follow the routing variable.
    pub(super) workflows: Vec<String>,
    /// Globs of base branches, in addition to the default branch, that the routing rule covers.
    pub(super) branches: Vec<String>,
    /// Globs of names of jobs in these workflows that stay on hosted runners by design.
    pub(super) hosted_jobs: Vec<String>,
    /// Maximum time that an untrusted job delays the creation of runners in its runner group.
    #[schemars(range(max = 3600))]
    pub(super) quarantine_s: u64,
}

/// The jobs that belong on self-hosted runners.
#[derive(Debug, Clone)]
pub struct Routing {
    pub labels: LabelPolicy,
    pub runs: RoutingPolicy,
    pub quarantine: Duration,
}

impl RawRouting {
    /// Validates the section. `section` is `routing` or the overriding repository, and `sizes` are the labels of `[[qemu.sizes]]`.
    pub(super) fn validate(self, check: &mut Check<'_>, section: &str, sizes: &[String]) -> Result<Routing, Reported> {
        let key = |name: &str| format!("{section}.{name}");
        let labels = self.check_labels(check, &key);
        let labels = labels.and(self.check_sizes(check, &key, sizes));
        let workflows = globs(check, &key("workflows"), &self.workflows, true);
        let hosted_jobs = globs(check, &key("hosted_jobs"), &self.hosted_jobs, false);
        let branches = globs(check, &key("branches"), &self.branches, false);
        self.warn_of_useless_workflows(check, &key("workflows"));
        labels?;
        Ok(Routing {
            labels: LabelPolicy {
                labels: self.labels,
                trust_label: self.trust_label,
                run_label_prefix: self.run_label_prefix,
                sizes: sizes.to_vec(),
            },
            runs: RoutingPolicy {
                branches: branches?,
                workflows: workflows?,
                hosted_jobs: hosted_jobs?,
            },
            quarantine: Duration::from_secs(self.quarantine_s),
        })
    }

    fn check_labels(&self, check: &mut Check<'_>, key: &dyn Fn(&str) -> String) -> Result<(), Reported> {
        let mut result = Ok(());
        for (index, label) in self.labels.iter().enumerate() {
            let before = &self.labels[..index];
            result = result.and(check.name(&key("labels"), label, LABEL_PUNCTUATION, MAX_LABEL_CHARS));
            if before.iter().any(|other| other.eq_ignore_ascii_case(label)) {
                let what = format!("has {label:?} twice (labels ignore case)");
                result = Err(check.problem(&key("labels"), what, "remove one of them"));
            }
            if starts_with_ignoring_case(label, &self.run_label_prefix) {
                let what = format!("is the beginning of the label {label:?}");
                result = Err(check.problem(&key("run_label_prefix"), what, "use another prefix or rename the label"));
            }
        }
        if self.labels.len() > MAX_LABELS {
            let remedy = format!("use at most {MAX_LABELS}");
            result = Err(check.problem(&key("labels"), "has more labels than GitHub accepts", remedy));
        }
        if !self
            .labels
            .iter()
            .any(|label| label.eq_ignore_ascii_case(&self.trust_label))
        {
            let remedy = format!("add it to {}", key("labels"));
            result = Err(check.problem(&key("trust_label"), "is not one of the labels", remedy));
        }
        // The rest of the label is reserved for the digits of a run's id.
        let longest_prefix = MAX_LABEL_CHARS - 20;
        result.and(check.name(
            &key("run_label_prefix"),
            &self.run_label_prefix,
            LABEL_PUNCTUATION,
            longest_prefix,
        ))
    }

    /// Checks that a label of a size has no other meaning.
    fn check_sizes(
        &self,
        check: &mut Check<'_>,
        key: &dyn Fn(&str) -> String,
        sizes: &[String],
    ) -> Result<(), Reported> {
        let mut result = Ok(());
        for size in sizes {
            if self.labels.iter().any(|label| label.eq_ignore_ascii_case(size)) {
                let what = format!("has {size:?}, and every job with it would request that size");
                result = Err(check.problem(&key("labels"), what, "rename the size in [[qemu.sizes]]"));
            }
            if starts_with_ignoring_case(size, &self.run_label_prefix) {
                let what = format!("is the beginning of the label {size:?} of a size");
                let remedy = "use another prefix, or rename the size in [[qemu.sizes]]";
                result = Err(check.problem(&key("run_label_prefix"), what, remedy));
            }
        }
        if !sizes.is_empty() && self.labels.len() >= MAX_LABELS {
            let remedy = format!("use at most {} beside the label of a size", MAX_LABELS - 1);
            result = Err(check.problem(&key("labels"), "has more labels than GitHub accepts", remedy));
        }
        result
    }

    fn warn_of_useless_workflows(&self, check: &mut Check<'_>, key: &str) {
        if self.workflows.is_empty() {
            let remedy = "name the workflows whose trusted jobs belong on self-hosted runners";
            check.warn(key, "is empty, so jitgate detects no job that was not routed", remedy);
        }
        for glob in &self.workflows {
            if !glob.starts_with(".github/workflows/") && !glob.starts_with(['*', '{', '[']) {
                let remedy = "use paths as at GitHub: .github/workflows/FILE";
                check.warn(
                    key,
                    format!("has {glob:?}, which matches no path of a workflow"),
                    remedy,
                );
            }
        }
    }
}

/// Builds one matcher. With `paths`, `*` and `?` do not match a slash.
pub(super) fn globs(check: &mut Check<'_>, key: &str, patterns: &[String], paths: bool) -> Result<GlobSet, Reported> {
    let mut set = GlobSet::builder();
    let mut result = Ok(());
    for pattern in patterns {
        match GlobBuilder::new(pattern).literal_separator(paths).build() {
            Ok(glob) => {
                set.add(glob);
            }
            Err(error) => {
                let what = format!("has {pattern:?}, which is not a valid glob: {}", error.kind());
                result = Err(check.problem(
                    key,
                    what,
                    "correct it; `[`, `{` and `*` are special characters, and `\\` escapes them",
                ));
            }
        }
    }
    result?;
    set.build()
        .map_err(|error| check.problem(key, format!("is too large: {}", error.kind()), "use fewer globs"))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    let start = text.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
