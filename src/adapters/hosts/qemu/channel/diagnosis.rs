//! The log files of the runner program in a guest. The guest chooses their names and content, within the session's bounds.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Appends a piece to the file `name` in `folder`, which is made when it is missing. The session has checked the name.
pub(super) fn append(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(folder.join(name))?;
    file.write_all(text.as_bytes())
}
