//! The settings of the local host.

use crate::config::Local;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the local host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of this instance's state.
    pub state_dir: PathBuf,
    /// The instance whose slots these are.
    pub instance: String,
    /// The program of jitgate.
    pub program: PathBuf,
    /// The section `[local]` of the configuration.
    pub local: Local,
    /// The time that a job may wait at its gate.
    pub gate_deadline: Duration,
    /// The time limit of a job.
    pub job_deadline: Duration,
    /// Files, folders and sockets that no job may see, wherever they are.
    pub hidden: Vec<PathBuf>,
}
