//! Programs that a test writes and starts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a script of the shell that can be started at once.
///
/// Another process writes the file. If this one did, the child of a test that starts a program at the same time would inherit
/// the open file for a moment, and the kernel starts no program whose file is open for writing.
pub(crate) fn write_script(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut stdin = writer.stdin.take().expect("a pipe");
    write!(stdin, "#!/bin/sh\n{text}\n").expect("it reads");
    drop(stdin);
    assert!(writer.wait().expect("its end").success(), "{}", path.display());
}
