//! The options of bubblewrap that every sandbox of a slot shares, and the words by which a program in it loses all rights.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with programs and libraries.
pub(crate) const PROGRAM_FOLDERS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

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
