//! Where everything of the local host lies on disk. All of it is below `<state_dir>/local/<instance>`, closed to other
//! users: workers that share a state directory do not share slots.

use crate::ports::runner_host::SlotId;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of all slots.
#[derive(Debug, Clone)]
pub(super) struct Layout(PathBuf);

impl Layout {
    /// Makes the folders that are missing.
    pub(super) fn prepare(state_dir: &Path, instance: &str) -> io::Result<Self> {
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(state_dir)?;
        let layout = Self(state_dir.canonicalize()?.join("local").join(instance));
        private(&layout.slots())?;
        private(&layout.output())?;
        Ok(layout)
    }

    /// A folder for each slot.
    pub(super) fn slots(&self) -> PathBuf {
        self.0.join("slots")
    }

    /// What runner programs wrote, one file a runner.
    pub(super) fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    /// jitgate itself, as it was when the gate started: an upgrade replaces the installed file under running jobs.
    pub(super) fn program(&self) -> PathBuf {
        self.0.join("jitgate")
    }

    /// Where keepers tell that something changed.
    pub(super) fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    /// A slot by its id; none for an id that is no plain name.
    pub(super) fn slot(&self, id: &SlotId) -> Option<SlotDir> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let fits = !id.0.is_empty() && id.0.len() < 100 && id.0.chars().all(is_plain);
        fits.then(|| SlotDir(self.slots().join(&id.0)))
    }
}

/// The folder of one slot. Only its environment and the folder of its job gate are seen from inside.
#[derive(Debug, Clone)]
pub(super) struct SlotDir(pub(super) PathBuf);

impl SlotDir {
    /// The slot's id.
    pub(super) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Where it stands.
    pub(super) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// Locked by its keeper while that lives.
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The keeper's socket for the gate.
    pub(super) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// What the environment sees of the job gate, read-only.
    pub(super) fn gate(&self) -> PathBuf {
        self.0.join("gate")
    }

    /// The keeper's socket for the hook.
    pub(super) fn gate_socket(&self) -> PathBuf {
        self.gate().join("socket")
    }

    /// The hook.
    pub(super) fn hook(&self) -> PathBuf {
        self.gate().join("job-started.sh")
    }

    /// The runner program's own copy.
    pub(super) fn runner(&self) -> PathBuf {
        self.environment().join("actions-runner")
    }

    /// The job's home.
    pub(super) fn home(&self) -> PathBuf {
        self.environment().join("home")
    }

    /// The job's `/tmp`: on disk, so that it takes no memory.
    pub(super) fn tmp(&self) -> PathBuf {
        self.environment().join("tmp")
    }

    /// Where names are looked up, for a job with a network of its own.
    pub(super) fn resolver(&self) -> PathBuf {
        self.0.join("resolv.conf")
    }

    /// Where the control groups of its job are.
    pub(super) fn groups(&self) -> PathBuf {
        self.0.join("groups")
    }

    /// All that belongs to the job.
    pub(super) fn environment(&self) -> PathBuf {
        self.0.join("environment")
    }
}

/// A path to a socket that fits where paths of sockets have to, 107 bytes, however deep the folder lies. It holds while
/// the folder is kept open.
pub(super) struct SocketPath {
    pub(super) path: PathBuf,
    _folder: File,
}

impl SocketPath {
    pub(super) fn of(socket: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name);
        Ok(Self { path, _folder: folder })
    }
}
