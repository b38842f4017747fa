//! The paths of a guest, and what the agent may do to the machine.

use std::path::{Path, PathBuf};

/// The account of the runner program.
pub(super) const ACCOUNT: &str = "runner";
/// The path of actions/runner.
const RUNNER: &str = "/home/runner/actions-runner";

/// A guest, or a folder that stands in for its root.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
    is_machine: bool,
}

impl Place {
    /// Returns the virtual machine that this process is the first of.
    pub(crate) fn machine() -> Self {
        Self {
            root: PathBuf::from("/"),
            is_machine: true,
        }
    }

    /// Returns a folder that stands in for a virtual machine. The channel is stdin; clock, random numbers and power of this
    /// machine stay as they are.
    pub(crate) fn stand_in(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            is_machine: false,
        }
    }

    /// Returns true for a virtual machine, whose clock, random numbers and power the agent controls.
    pub(super) fn is_machine(&self) -> bool {
        self.is_machine
    }

    /// Returns the folder of the runner program.
    pub(super) fn runner(&self) -> PathBuf {
        self.at(RUNNER)
    }

    /// Returns the log files of the runner program.
    pub(super) fn logs(&self) -> PathBuf {
        self.runner().join("_diag")
    }

    /// Returns the socket of the job gate.
    pub(super) fn gate(&self) -> PathBuf {
        self.at("/run/jitgate/gate")
    }

    /// Returns the script that the runner program starts before the first step of a job.
    pub(super) fn hook(&self) -> PathBuf {
        self.at("/usr/local/lib/jitgate/job-started.sh")
    }

    /// Returns the script that starts the services of an image, which may be missing.
    pub(super) fn services(&self) -> PathBuf {
        self.at("/usr/local/lib/jitgate/services")
    }

    /// Returns a path of the guest, which starts with a slash.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}
