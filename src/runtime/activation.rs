//! Listeners that the service manager holds and hands over (`sd_listen_fds(3)`). While jitgate is down, no other
//! process can listen in its place, and connections wait.

use crate::config::{AdminListen, Config, Role};
use crate::http::Listener;
use rustix::io::{FdFlags, fcntl_setfd};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::absolute;

/// The sockets that were handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variables are invalid, or no socket is behind them.
    #[error("cannot use the sockets of the service manager: {0}")]
    Unusable(String),
    /// The socket is on no configured address.
    #[error("unknown socket of the service manager on {0}: it is neither server.listen nor server.admin_listen")]
    Unknown(String),
    /// The role does not need the socket.
    #[error("unneeded socket of the service manager on {0}: the role of this process does not use it")]
    Unneeded(String),
}

/// The listeners that were handed over.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) public: Option<Listener>,
    pub(super) admin: Option<Listener>,
}

/// Takes the listeners that were handed over to this process. It must be called only once.
///
/// # Errors
/// Fails if a socket was handed over that cannot be used.
pub(super) fn take(config: &Config, role: Role) -> Result<Given, ActivationError> {
    let unusable = |error: &dyn std::error::Error| ActivationError::Unusable(error.to_string());
    let mut given = Given::default();
    for (name, socket) in sd_listen_fds::get().map_err(|error| unusable(&error))? {
        let socket = socket.into_std();
        // No job may inherit it.
        fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(|error| unusable(&error))?;
        let listener = listener(socket).map_err(|error| unusable(&error))?;
        let place = listener.place();
        let is_public = match name.as_deref() {
            Some("public") => true,
            Some("admin") => false,
            _ if listener.address() == Some(config.server.listen) => true,
            _ if is_admin(&listener, &config.server.admin_listen) => false,
            _ => return Err(ActivationError::Unknown(place)),
        };
        let slot = match (is_public, role) {
            (true, Role::Worker) => return Err(ActivationError::Unneeded(place)),
            (true, _) => &mut given.public,
            (false, _) => &mut given.admin,
        };
        if slot.replace(listener).is_some() {
            return Err(ActivationError::Unneeded(place));
        }
    }
    Ok(given)
}

fn listener(socket: OwnedFd) -> io::Result<Listener> {
    let tcp = TcpListener::from(socket);
    if tcp.local_addr().is_ok() {
        return Ok(Listener::Tcp(tcp));
    }
    let unix = UnixListener::from(OwnedFd::from(tcp));
    unix.local_addr()?;
    Ok(Listener::Unix(unix))
}

fn is_admin(listener: &Listener, configured: &AdminListen) -> bool {
    match configured {
        AdminListen::Tcp(address) => listener.address() == Some(*address),
        AdminListen::Unix(path) => listener
            .path()
            .is_some_and(|bound| absolute(path).is_ok_and(|path| path == bound)),
    }
}
