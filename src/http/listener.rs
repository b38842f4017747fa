//! Where a listener comes from: an address, a unix socket, or the service manager, which holds it over a restart.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that wait to be taken.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Debug)]
pub enum Bind {
    /// An address.
    Tcp(SocketAddr),
    /// A unix socket, mode 0600.
    Unix(PathBuf),
    /// One that is open already.
    Open(Listener),
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// An open listener.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}")]
pub struct ListenError {
    place: String,
    #[source]
    source: io::Error,
}

impl ListenError {
    pub(super) fn new(place: &str, source: io::Error) -> Self {
        Self {
            place: place.to_owned(),
            source,
        }
    }

    /// Whether the place belongs to another process or is not there yet, so that a later try may succeed.
    #[must_use]
    pub fn will_pass(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
    }
}

impl Bind {
    /// The place, for people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => path.display().to_string(),
            Self::Open(listener) => listener.place(),
        }
    }

    pub(super) fn open(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                // More than std asks for: what is beyond the bound of connections waits there for its turn.
                rustix::net::listen(&listener, BACKLOG)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => bind_unix(&path).map(Listener::Unix),
            Self::Open(listener) => Ok(listener),
        }
    }
}

impl Listener {
    /// The bound address; none for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The path of a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => Some(listener.local_addr().ok()?.as_pathname()?.to_owned()),
        }
    }

    /// The place, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let address = self.address().map(|address| address.to_string());
        let path = || self.path().map(|path| path.display().to_string());
        address
            .or_else(path)
            .unwrap_or_else(|| "a socket without a name".to_owned())
    }
}

/// Only a socket that a process left behind is replaced. Anything else at the path is somebody's.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let what = "there is a file that is no socket: remove it, or give another path";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
