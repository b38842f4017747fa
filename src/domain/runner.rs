//! Names of runners, derived from what they are for, so that whoever finds one knows whose it is.

use super::ids::JobId;

/// `<prefix>-<instance>-<job id>-<attempt>`.
#[must_use]
pub fn runner_name(prefix: &str, instance: &str, job: JobId, attempt: u32) -> String {
    format!("{prefix}-{instance}-{job}-{attempt}")
}

/// Where a job's runner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// Its name is recorded; the request may or may not have reached GitHub.
    Minting,
    /// GitHub has its record and the host has its configuration.
    Minted,
    /// A job runs on it.
    Running,
    /// Environment and record are gone.
    Ended,
    /// It never came to be; another name is tried.
    Failed,
}

impl RunnerState {
    /// Whether an environment or a record may still exist.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Minting | Self::Minted | Self::Running)
    }
}
