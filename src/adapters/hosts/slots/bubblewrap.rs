//! The options of bubblewrap that every sandbox of a slot shares, its report, and the words by which a program in it loses all rights.

use super::process::ProcessId;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Folders with programs and libraries.
pub(crate) const PROGRAM_FOLDERS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Longest description of a sandbox by bubblewrap.
const MAX_INFO_BYTES: u64 = 4096;

/// The options of one sandbox, in their order. bubblewrap executes them from the first to the last.
pub(crate) struct SandboxOptions(Vec<String>);

impl SandboxOptions {
    /// Begins a sandbox that dies with its parent, and shares no processes with the machine. If jitgate runs as root, the
    /// sandbox keeps the rights that setpriv needs to become an account, and loses them with [`lose_rights`].
    pub(crate) fn begin(by_root: bool) -> Self {
        let mut options = Self(Vec::new());
        options.add(&[
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        options.add(&["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        if by_root {
            for needed in ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"] {
                options.add(&["--cap-add", needed]);
            }
        } else {
            options.add(&["--unshare-user"]);
        }
        options
    }

    pub(crate) fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Adds an option with two paths, such as `--ro-bind`.
    pub(crate) fn bind(&mut self, kind: &str, from: &Path, to: &Path) -> Result<(), String> {
        self.add(&[kind, &path_text(from)?, &path_text(to)?]);
        Ok(())
    }

    /// Exposes those of these folders of the machine that exist, read-only. Returns them without the ones that are links, which
    /// stay links.
    pub(crate) fn expose(&mut self, folders: &[&str]) -> Result<Vec<PathBuf>, String> {
        let mut exposed = Vec::new();
        for path in folders.iter().map(Path::new) {
            match fs::read_link(path) {
                Ok(target) => self.bind("--symlink", &target, path)?,
                Err(_) if path.is_dir() => {
                    self.bind("--ro-bind", path, path)?;
                    exposed.push(path.to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(exposed)
    }

    pub(crate) fn into_words(self) -> Vec<String> {
        self.0
    }
}

/// Returns a file in memory with options for `--args`, so that they do not appear on a command line.
pub(crate) fn options_file(options: &[String]) -> io::Result<File> {
    let ended = options.iter().flat_map(|option| option.bytes().chain([0]));
    inheritable("bwrap-options", &ended.collect::<Vec<u8>>())
}

/// Returns a file in memory that is not closed on exec: bubblewrap reads it and closes it.
pub(crate) fn inheritable(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::empty())?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// The report that bubblewrap writes to `--info-fd`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

/// Waits for the report of bubblewrap and returns the first process of the sandbox, or none if it has ended already. It is an
/// error if there is no sandbox.
pub(crate) fn first_process(report: PipeReader) -> io::Result<Option<ProcessId>> {
    let mut text = String::new();
    report.take(MAX_INFO_BYTES).read_to_string(&mut text)?;
    let info: Info = serde_json::from_str(&text)?;
    Ok(ProcessId::of(info.child_pid))
}

/// Returns the prefix of a command that takes this identity and loses all rights. `identity` contains options of setpriv.
pub(crate) fn lose_rights(identity: Vec<String>) -> Vec<String> {
    let rest = [
        "--no-new-privs",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--bounding-set=-all",
        "--",
    ];
    let mut words = vec!["setpriv".to_owned()];
    words.extend(identity);
    words.extend(rest.map(str::to_owned));
    words
}

/// Returns the text of a path for a command line.
pub(crate) fn path_text(path: &Path) -> Result<String, String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{} is not valid UTF-8", path.display()))
}
