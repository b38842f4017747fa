//! A check that files can be created in a place, before they are needed.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// Checks that this user can create `folder`, or files in it if it exists. It creates a file and removes it at once.
///
/// # Errors
/// Returns the error of the system.
pub fn can_write(folder: &Path) -> io::Result<()> {
    let there = folder
        .ancestors()
        .find(|place| place.exists() || place.as_os_str().is_empty());
    let place = there
        .filter(|place| !place.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let probe = place.join(format!(".jitgate-probe-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_no_file_and_returns_the_error() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        assert!(can_write(folder.path()).is_ok());
        assert!(can_write(&folder.path().join("not/yet")).is_ok());
        let refusal = can_write(&file).expect_err("a file is not a folder");
        assert_eq!(refusal.kind(), io::ErrorKind::NotADirectory);
        assert!(can_write(Path::new("/proc/jitgate")).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a list").count(), 1);
    }
}
