//! The reason why an image cannot be built, with its remedy.

use crate::domain::image::{CLibrary, RecipeError};
use crate::ports::tools::ToolError;
use std::io;
use std::path::{Path, PathBuf};

/// An image cannot be built, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("{program} failed: {why}")]
    Failed { program: &'static str, why: String },
    #[error("the build was interrupted")]
    Interrupted,
    #[error("{}: another process builds or removes images here", .0.display())]
    Locked(PathBuf),
    #[error("{}: its sha256 is {found}, but {expected} is expected", path.display())]
    Digest {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("{}: it is not a runner program, because {missing} is missing", path.display())]
    NoRunner { path: PathBuf, missing: &'static str },
    #[error("the root file system has no {0}")]
    Incomplete(String),
    #[error("the kernel {kernel} has no module {module}")]
    NoModule { kernel: String, module: String },
    #[error("this jitgate needs the C library {needed}, but Debian {suite} has {there}")]
    OldCLibrary {
        needed: CLibrary,
        there: CLibrary,
        suite: &'static str,
    },
    #[error("images are built for x86_64, but this machine is {0}")]
    Architecture(&'static str),
}

impl ImageError {
    /// Returns the failure of a file.
    pub(super) fn of(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns the next step of the operator.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run the command as the user of the runner host, or name another folder with --images".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space (`jitgate image prune --keep 1`), or name another folder with --images".to_owned()
            }
            Self::Io { .. } => "correct the path, then run the command again".to_owned(),
            Self::Recipe(_) => "correct the command line".to_owned(),
            Self::Tool(ToolError::Missing { program }) => {
                let package = match program.as_str() {
                    "sqfstar" => "squashfs-tools",
                    "newuidmap" => "uidmap",
                    "setpriv" => "util-linux",
                    other => other,
                };
                format!("install the Debian package {package}")
            }
            Self::Tool(ToolError::TimedOut { .. }) => {
                "check the network and the mirror, then run the command again".to_owned()
            }
            Self::Tool(ToolError::Unusable { .. }) => "correct the installation of that program".to_owned(),
            Self::Failed {
                program: "mmdebstrap", ..
            } => "read its messages above; check the network, --mirror and the names of --include. Without root, \
                 /etc/subuid and /etc/subgid must have a range for this user"
                .to_owned(),
            Self::Failed { .. } => "read its message, then run the command again".to_owned(),
            Self::Interrupted => "run the command again; it removes the remains".to_owned(),
            Self::Locked(_) => "wait for the other process".to_owned(),
            Self::Digest { .. } => {
                "download the archive again, and compare with the release page of actions/runner".to_owned()
            }
            Self::NoRunner { .. } => {
                "name an archive actions-runner-linux-x64-VERSION.tar.gz, or the folder that it was unpacked to"
                    .to_owned()
            }
            Self::Incomplete(_) => "build it anew with --no-cache".to_owned(),
            Self::NoModule { .. } => "name another release with --suite".to_owned(),
            Self::OldCLibrary { .. } => {
                "name a newer release with --suite, or compile jitgate on this release of Debian".to_owned()
            }
            Self::Architecture(_) => "build the image on an x86_64 machine".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_has_its_own_remedy() {
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, "as the user of the runner host"),
            (io::ErrorKind::StorageFull, "free some space"),
            (io::ErrorKind::NotFound, "correct the path"),
        ] {
            let remedy = ImageError::of(Path::new("images"))(kind.into()).remedy();
            assert!(remedy.contains(expected), "{kind:?}: {remedy}");
        }
    }
}
