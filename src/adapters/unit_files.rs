//! Files that are replaced in one step: a reader sees the old or the new content, also after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of a unit file. systemd warns of a unit that others cannot read.
const MODE: u32 = 0o644;

/// Replaces a file, or a link in its place.
///
/// # Errors
/// The error of the system. The old content is still there then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(ErrorKind::InvalidInput));
    };
    // systemd ignores this name, and a killed run leaves at most this one file.
    let draft = directory.join(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("a.service");
        fs::write(folder.path().join(".a.service.new"), "torn").expect("the rest of a killed run");
        for text in ["one\n", "two\n"] {
            replace(&path, text).expect("replaced");
            assert_eq!(fs::read_to_string(&path).expect("text"), text);
        }
        let mode = fs::metadata(&path).expect("it").permissions().mode() & 0o777;
        assert_eq!((mode, fs::read_dir(folder.path()).expect("a list").count()), (MODE, 1));
    }
}
