//! The source of a listener: an address, a unix socket, or the service manager, which keeps it open over a restart.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The place to listen on.
#[derive(Debug)]
pub enum Bind {
    Tcp(SocketAddr),
    /// A unix socket with mode 0600.
    Unix(PathBuf),
    /// A listener that is open already.
    Open(Listener),
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A failure to open a listener.
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

    /// Returns true if the place belongs to another process or does not exist yet, so that a later attempt may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
    }
}

impl Bind {
    /// Returns the place as text.
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
                // Longer than the default of std: connections beyond the bound wait here.
                rustix::net::listen(&listener, BACKLOG)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => bind_unix(&path).map(Listener::Unix),
            Self::Open(listener) => Ok(listener),
        }
    }
}

impl Listener {
    /// Returns the bound address; none for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Returns the path of a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => Some(listener.local_addr().ok()?.as_pathname()?.to_owned()),
        }
    }

    /// Returns the place as text.
    #[must_use]
    pub fn place(&self) -> String {
        let address = self.address().map(|address| address.to_string());
        let path = || self.path().map(|path| path.display().to_string());
        address
            .or_else(path)
            .unwrap_or_else(|| "a socket without a name".to_owned())
    }
}

/// Binds a unix socket. It replaces only the socket of a process that has ended, and no other file.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let text = "a file that is not a socket exists; remove it or configure another path";
            return Err(io::Error::new(ErrorKind::AlreadyExists, text));
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
