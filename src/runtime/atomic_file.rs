//! Files that are replaced as a whole: a reader sees the old content or the new one, also after a crash.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces a file, or creates it with this mode.
///
/// # Errors
/// Fails if the folder cannot be written to; the file is then unchanged.
pub fn replace_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft_of(path);
    let written = write(&draft, content, mode).and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        std::fs::remove_file(&draft).ok();
    }
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns a name in the same folder, since a file is renamed only within a file system.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write(draft: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // The draft of a killed process with the same id.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_draft_stays() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("status.json");
        for content in ["one", "two"] {
            replace_file(&path, content.as_bytes(), 0o600).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), content);
        }
        assert_eq!(std::fs::read_dir(place.path()).expect("listed").count(), 1);
        std::fs::create_dir(place.path().join("folder")).expect("a folder");
        let refused = replace_file(&place.path().join("folder"), b"three", 0o600);
        assert!(refused.is_err());
        assert_eq!(std::fs::read_dir(place.path()).expect("listed").count(), 2);
    }
}
