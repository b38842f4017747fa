//! A runner in GitHub's inventory.

use crate::domain::ids::RunnerId;

/// Labels that GitHub gives to every runner by itself.
const USUAL_LABELS: [&str; 5] = ["self-hosted", "linux", "x64", "arm64", "arm"];

/// A runner as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRunner {
    pub id: RunnerId,
    pub name: String,
    pub is_online: bool,
    /// True if a job runs on it.
    pub is_busy: bool,
    pub labels: Vec<String>,
}

impl ListedRunner {
    /// Returns true if the runner has all these labels, in any case.
    #[must_use]
    pub fn has_all(&self, labels: &[String]) -> bool {
        labels
            .iter()
            .all(|label| self.labels.iter().any(|own| own.eq_ignore_ascii_case(label)))
    }

    /// Returns GitHub's word for its state.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.is_online { "online" } else { "offline" }
    }
}

/// Returns true if both lists contain the same labels, apart from those that GitHub adds.
#[must_use]
pub fn are_same_labels(one: &[String], other: &[String]) -> bool {
    let plain = |labels: &[String]| {
        let mut labels: Vec<String> = labels.iter().map(|label| label.trim().to_ascii_lowercase()).collect();
        labels.retain(|label| !label.is_empty() && !USUAL_LABELS.contains(&label.as_str()));
        labels.sort_unstable();
        labels.dedup();
        labels
    };
    plain(one) == plain(other)
}
