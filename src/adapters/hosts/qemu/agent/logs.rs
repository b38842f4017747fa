//! The log files of the runner program, which the keeper keeps for a while.

use super::pieces::cut;
use super::place::Place;
use crate::adapters::hosts::qemu::channel::{FromGuest, is_file_name};
use rustix::fs::{Mode, OFlags, open};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The newest files, and the end of each.
const MAX_FILES: usize = 8;
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Returns the messages with the ends of the newest log files. Files that cannot be read are left out.
pub(super) fn collect(place: &Place) -> Vec<FromGuest> {
    let mut messages = Vec::new();
    for (name, path) in newest(&place.logs()) {
        let text = end(&path).unwrap_or_default();
        for text in cut(&text) {
            let name = name.clone();
            messages.push(FromGuest::Diag { name, text });
        }
    }
    messages
}

fn newest(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut files: Vec<(SystemTime, String, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata())
            && metadata.is_file()
            && is_file_name(&name)
            && let Ok(modified) = metadata.modified()
        {
            files.push((modified, name, entry.path()));
        }
    }
    files.sort();
    let files = files.into_iter().rev().take(MAX_FILES);
    files.map(|(_, name, path)| (name, path)).collect()
}

/// Returns the end of a file. The folder belongs to the runner program, which could have put a link or a pipe in its place.
fn end(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(MAX_FILE_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    #[test]
    fn the_ends_of_the_newest_files_are_collected_and_nothing_that_leads_elsewhere() {
        let root = tempfile::tempdir().expect("a directory");
        let place = Place::stand_in(root.path());
        assert!(collect(&place).is_empty(), "there is no folder");
        fs::create_dir_all(place.logs()).expect("a folder");
        let bytes = usize::try_from(MAX_FILE_BYTES).expect("small");
        for age in 0..10 {
            let path = place.logs().join(format!("Runner_{age}.log"));
            fs::write(&path, format!("begin{}end of {age}", "x".repeat(bytes))).expect("a file");
            let file = File::options().write(true).open(&path).expect("a file");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age);
            file.set_modified(time).expect("a time");
        }
        fs::write(root.path().join("secret"), "secret").expect("a file");
        symlink(root.path().join("secret"), place.logs().join("Worker.log")).expect("a link");
        for name in [".hidden", "new\nline"] {
            fs::write(place.logs().join(name), name).expect("a file");
        }
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for message in collect(&place) {
            let FromGuest::Diag { name, text } = message else {
                unreachable!()
            };
            texts.entry(name).or_default().push_str(&text);
        }
        let expected: Vec<String> = (0..8).map(|age| format!("Runner_{age}.log")).collect();
        assert_eq!(texts.keys().cloned().collect::<Vec<_>>(), expected);
        for (age, text) in texts.values().enumerate() {
            assert_eq!(text.len(), bytes);
            assert!(text.ends_with(&format!("xend of {age}")));
        }
    }
}
