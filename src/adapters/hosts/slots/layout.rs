//! The files of a host's slots. All of them are below `<state_dir>/<host>/<instance>`, closed to other users, so that workers
//! that share a state directory do not share slots.

use crate::domain::slot::{SlotId, SlotSize};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of an instance on a host.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Makes the folders that are missing. `host` is the name of the host's kind.
    pub(super) fn prepare(state_dir: &Path, host: &str, instance: &str) -> io::Result<Self> {
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(state_dir)?;
        let layout = Self(state_dir.canonicalize()?.join(host).join(instance));
        private(&layout.slots())?;
        private(&layout.output())?;
        Ok(layout)
    }

    /// Returns the folder itself, for files that belong to no slot.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns the folder with a folder for each slot.
    pub(super) fn slots(&self) -> PathBuf {
        self.0.join("slots")
    }

    /// Returns the folder with the output of runner programs, one file for each runner.
    pub(super) fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    /// Returns the copy of jitgate from the start of the host: an upgrade replaces the installed file while jobs run.
    pub(crate) fn program(&self) -> PathBuf {
        self.0.join("jitgate")
    }

    /// Returns the socket on which keepers report that something changed.
    pub(super) fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    /// Returns the folder of a slot, or none for an id that is not a plain name.
    pub(crate) fn slot(&self, id: &SlotId) -> Option<SlotDir> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let fits = !id.0.is_empty() && id.0.len() < 100 && id.0.chars().all(is_plain);
        fits.then(|| SlotDir(self.slots().join(&id.0)))
    }
}

/// Returns the slots of all instances on a host, as far as they can be read.
pub(crate) fn slots_of(state_dir: &Path, host: &str) -> Vec<SlotDir> {
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let instances = below(state_dir.join(host)).into_iter();
    let slots = instances.flat_map(|instance| below(Layout(instance).slots()));
    slots.map(SlotDir).collect()
}

/// Returns the name of the host's kind that a folder of a slot belongs to.
pub(crate) fn host_of(slot: &Path) -> Option<&OsStr> {
    slot.ancestors().nth(3)?.file_name()
}

/// The folder of one slot. A guest sees only the job's files and the folder of its job gate.
#[derive(Debug, Clone)]
pub(crate) struct SlotDir(pub(crate) PathBuf);

impl SlotDir {
    /// Returns the id of the slot.
    pub(crate) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Makes the folder. It contains the size before anything that makes the slot usable.
    pub(super) fn make(&self, size: Option<&str>) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)?;
        size.map_or(Ok(()), |size| fs::write(self.size_file(), size))
    }

    /// Returns the file with the size, which a slot of the default size does not have.
    fn size_file(&self) -> PathBuf {
        self.0.join("size")
    }

    /// Returns the size of the slot. An error is temporary: a slot counts for no other size meanwhile.
    pub(super) fn size(&self) -> io::Result<SlotSize> {
        match fs::read_to_string(self.size_file()) {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// Returns the file that the keeper locks while it lives.
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Returns the socket on which the keeper takes commands.
    pub(super) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// Returns the folder of the job gate, which the guest can read.
    pub(crate) fn gate(&self) -> PathBuf {
        self.0.join("gate")
    }

    /// Returns the keeper's socket for the hook.
    pub(crate) fn gate_socket(&self) -> PathBuf {
        self.gate().join("socket")
    }

    /// Returns the script that the runner program starts before the first step of a job.
    pub(crate) fn hook(&self) -> PathBuf {
        self.gate().join("job-started.sh")
    }

    /// Returns the folder with everything that belongs to the job.
    pub(crate) fn job(&self) -> PathBuf {
        self.0.join("environment")
    }

    /// Returns the job's own copy of the runner program.
    pub(crate) fn runner(&self) -> PathBuf {
        self.job().join("actions-runner")
    }

    /// Returns the job's home directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.job().join("home")
    }

    /// Returns the job's `/tmp`, which is on disk and takes no memory.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.job().join("tmp")
    }
}

/// A path to a socket that fits into the 107 bytes of a socket address, however deep the folder lies. It is valid while this
/// value, which holds the folder open, is alive.
pub(crate) struct SocketPath {
    pub(crate) path: PathBuf,
    _folder: File,
}

impl SocketPath {
    pub(crate) fn of(socket: &Path) -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_the_size_that_it_was_made_with() {
        let place = tempfile::tempdir().expect("a directory");
        for size in [None, Some("large")] {
            let slot = SlotDir(place.path().join(size.unwrap_or("default")));
            slot.make(size).expect("a folder");
            assert_eq!(slot.size().expect("a size").as_deref(), size);
            slot.make(size).expect_err("a folder is used once");
        }
        let unreadable = SlotDir(place.path().join("unreadable"));
        unreadable.make(None).expect("a folder");
        std::fs::create_dir(unreadable.size_file()).expect("a folder in the place of the file");
        unreadable.size().expect_err("it must not count for the default size");
    }
}
