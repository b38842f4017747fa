//! The journal of changes as a file of JSON lines, for commands on a machine without a store.
//!
//! A line is added in one write under a lock. A file that has become too long is renamed, so that at most two files exist.
//! Only the owner can read them, because a reason may name persons.

use crate::domain::operator_change::{OperatorChange, merged};
use crate::ports::Failure;
use crate::ports::change_journal::ChangeJournal;
use async_trait::async_trait;
use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, fchown, flock, open};
use rustix::process::geteuid;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The name of the file.
pub const FILE: &str = "changes.jsonl";
/// The name of the file before it.
const EARLIER_FILE: &str = "changes.1.jsonl";
/// Length at which a file is renamed: some thousands of changes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Attempts to open the file while other processes rename it.
const MAX_RENAMES: usize = 5;
/// No link is followed, and a pipe is not waited for.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The journal in a folder.
#[derive(Debug, Clone)]
pub struct ChangeFile {
    folder: PathBuf,
}

impl ChangeFile {
    /// Returns the journal in this folder, which must exist before a change is added.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn write(&self, change: &OperatorChange) -> io::Result<()> {
        let path = self.path();
        for _ in 0..MAX_RENAMES {
            let mut file = self.open_or_create(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            let about = file.metadata()?;
            let is_current = fs::symlink_metadata(&path).is_ok_and(|shown| shown.ino() == about.ino());
            if !is_current {
                continue;
            }
            if about.len() >= MAX_FILE_BYTES {
                fs::rename(&path, self.folder.join(EARLIER_FILE))?;
                continue;
            }
            let mut line = Vec::new();
            // The end of a line is missing after a crash.
            let mut last = [b'\n'];
            if about.len() > 0 {
                file.read_exact_at(&mut last, about.len() - 1)?;
            }
            if last != [b'\n'] {
                line.push(b'\n');
            }
            serde_json::to_writer(&mut line, change)?;
            line.push(b'\n');
            file.write_all(&line)?;
            return file.sync_all();
        }
        Err(io::Error::other("other processes rename it all the time"))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        let flags = FLAGS | OFlags::RDWR | OFlags::APPEND;
        match open(path, flags, Mode::empty()) {
            Ok(file) => plain(File::from(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mode = Mode::RUSR | Mode::WUSR;
                let made = match open(path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                    // Another process was faster.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => return self.open_existing(path, flags),
                    made => File::from(made?),
                };
                let folder = fs::metadata(&self.folder)?;
                if geteuid().is_root() && folder.uid() != 0 {
                    // The account of the service adds and reads changes too.
                    fchown(
                        &made,
                        Some(Uid::from_raw(folder.uid())),
                        Some(Gid::from_raw(folder.gid())),
                    )?;
                }
                Ok(made)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_existing(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        plain(File::from(open(path, flags, Mode::empty())?))
    }

    fn read(&self, name: &str) -> io::Result<Vec<OperatorChange>> {
        let file = match self.open_existing(&self.folder.join(name), FLAGS | OFlags::RDONLY) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(2 * MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        let lines = bytes.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// Refuses what is not a file of its own: a job's user must not lead root to another file.
fn plain(file: File) -> io::Result<File> {
    let about = file.metadata()?;
    if about.is_file() && about.nlink() <= 1 {
        return Ok(file);
    }
    Err(io::Error::other("it is not a file, or it has another name too"))
}

#[async_trait]
impl ChangeJournal for ChangeFile {
    async fn add(&self, change: &OperatorChange) -> Result<(), Failure> {
        let written = self.write(change);
        written.map_err(|error| Failure::Permanent(format!("cannot write {}: {error}", self.path().display())))
    }

    async fn newest(&self, limit: usize) -> Result<Vec<OperatorChange>, Failure> {
        let mut lists = Vec::new();
        for name in [FILE, EARLIER_FILE] {
            let read = self.read(name);
            let path = self.folder.join(name);
            lists.push(read.map_err(|error| Failure::Permanent(format!("cannot read {}: {error}", path.display())))?);
        }
        Ok(merged(lists, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator_change::ChangeResult;
    use crate::domain::rollout::Origin;
    use crate::domain::samples::at;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn change(second: i64) -> OperatorChange {
        let result = (ChangeResult::Done, None);
        OperatorChange::new(
            "pool scale",
            &second.to_string(),
            Origin::unknown(at(second)),
            result,
            "w",
        )
    }

    async fn subjects(journal: &ChangeFile, limit: usize) -> Vec<String> {
        let newest = journal.newest(limit).await.expect("readable");
        newest.into_iter().map(|change| change.subject).collect()
    }

    #[tokio::test]
    async fn changes_are_read_newest_first_and_only_by_their_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = ChangeFile::new(folder.path());
        assert_eq!(subjects(&journal, 9).await, [""; 0]);
        for second in 1..=3 {
            journal.add(&change(second)).await.expect("added");
        }
        assert_eq!(subjects(&journal, 9).await, ["3", "2", "1"]);
        assert_eq!(subjects(&journal, 1).await, ["3"]);
        let mode = fs::metadata(journal.path()).expect("a file").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
    }

    #[tokio::test]
    async fn half_a_line_costs_no_other_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = ChangeFile::new(folder.path());
        journal.add(&change(1)).await.expect("added");
        let mut file = File::options().append(true).open(journal.path()).expect("a file");
        file.write_all(b"{\"id\":\"half").expect("written");
        journal.add(&change(2)).await.expect("added");
        assert_eq!(subjects(&journal, 9).await, ["2", "1"]);
    }

    #[tokio::test]
    async fn at_most_two_files_exist_and_the_newest_changes_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = ChangeFile::new(folder.path());
        for round in 0..3 {
            journal.add(&change(round)).await.expect("added");
            let file = File::options().append(true).open(journal.path()).expect("a file");
            let length = usize::try_from(MAX_FILE_BYTES).expect("a length");
            (&file).write_all(&vec![b'\n'; length]).expect("written");
        }
        journal.add(&change(3)).await.expect("added");
        assert_eq!(subjects(&journal, 9).await, ["3", "2"]);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
    }

    #[tokio::test]
    async fn a_link_in_its_place_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other");
        fs::write(&other, "precious").expect("a file");
        let journal = ChangeFile::new(folder.path());
        for link in [symlink::<&Path, PathBuf>, fs::hard_link::<&Path, PathBuf>] {
            link(&other, journal.path()).expect("a link");
            let refused = journal.add(&change(1)).await.expect_err("refused");
            assert!(refused.to_string().contains("cannot write"), "{refused}");
            fs::remove_file(journal.path()).expect("removed");
        }
        assert_eq!(fs::read_to_string(&other).expect("a file"), "precious");
    }
}
