//! Whether files can be made in a place, before anybody needs one there.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// Whether this user can make `folder`, or files in it if it is there. Tries with a file that is removed at once.
///
/// # Errors
/// What the system says against it.
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
    fn what_can_be_made_leaves_nothing_and_what_cannot_says_why() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        assert!(can_write(folder.path()).is_ok());
        assert!(can_write(&folder.path().join("not/yet")).is_ok());
        let refusal = can_write(&file).expect_err("a file is no folder");
        assert_eq!(refusal.kind(), io::ErrorKind::NotADirectory);
        assert!(can_write(Path::new("/proc/jitgate")).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a list").count(), 1);
    }
}
