//! `[server]`: the two listeners and the state directory.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Maximum length of a Unix socket's path on Linux, in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 107;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    /// Address of the public listener for GitHub's deliveries, `IP:PORT`.
    listen: String,
    /// Address of the admin listener for metrics, dashboard and API: `IP:PORT` or `unix:PATH`.
    admin_listen: String,
    /// Further host names of the admin listener: `HOST` or `HOST:PORT`.
    admin_hosts: Vec<String>,
    /// File with the bearer token of the admin listener. It is created at the first start, by default as `admin-token`
    /// in `state_dir`.
    admin_token_file: Option<PathBuf>,
    /// Directory for persistent state.
    state_dir: PathBuf,
    /// Number of HTTP threads. By default one for each processor.
    #[schemars(range(min = 1, max = 512))]
    http_workers: Option<NonZeroUsize>,
    /// Maximum size of a request body, in bytes.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    body_limit_bytes: usize,
    /// Timeout for the arrival of a whole request.
    #[schemars(range(min = 1, max = 3600))]
    read_timeout_s: u64,
}

/// The two listeners and the state directory.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: AdminListen,
    /// Further host names of the admin listener, with or without a port.
    pub admin_hosts: Vec<String>,
    pub admin_token_file: PathBuf,
    pub state_dir: PathBuf,
    /// Number of HTTP threads; `None` is one for each processor.
    pub http_workers: Option<NonZeroUsize>,
    pub body_limit_bytes: usize,
    pub read_timeout: Duration,
}

/// The address of the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Server {
    /// Moves the admin listener to a socket in the state directory, so that no job of this machine can take its place.
    pub(super) fn listen_for_admins_in_state_dir(&mut self, check: &mut Check<'_>) -> Result<(), Reported> {
        let path = self.state_dir.join("admin.sock");
        if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            let remedy = "set server.admin_listen, or use a shorter path";
            return Err(check.problem(
                "server.state_dir",
                "is too long for the path of a socket inside it",
                remedy,
            ));
        }
        self.admin_listen = AdminListen::Unix(path);
        Ok(())
    }
}

impl RawServer {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Server, Reported> {
        let listen = check.address("server.listen", &self.listen);
        let admin_listen = admin_listen(check, &self.admin_listen);
        if let (Ok(public), Ok(AdminListen::Tcp(admin))) = (&listen, &admin_listen) {
            check_apart(check, *public, *admin);
        }
        let admin_hosts = self.admin_hosts.iter().try_for_each(|host| check_host(check, host));
        let in_state_dir = || self.state_dir.join("admin-token");
        Ok(Server {
            listen: listen?,
            admin_listen: admin_listen?,
            admin_hosts: admin_hosts.map(|()| self.admin_hosts)?,
            admin_token_file: self.admin_token_file.unwrap_or_else(in_state_dir),
            state_dir: self.state_dir,
            http_workers: self.http_workers,
            body_limit_bytes: self.body_limit_bytes,
            read_timeout: Duration::from_secs(self.read_timeout_s),
        })
    }
}

fn admin_listen(check: &mut Check<'_>, text: &str) -> Result<AdminListen, Reported> {
    const KEY: &str = "server.admin_listen";
    match text.strip_prefix("unix:") {
        Some(path) if path.is_empty() || path.len() > MAX_SOCKET_PATH_BYTES => {
            let remedy = format!("use unix:PATH with a path of 1 to {MAX_SOCKET_PATH_BYTES} bytes");
            Err(check.problem(KEY, "does not contain a usable path", remedy))
        }
        Some(path) => Ok(AdminListen::Unix(PathBuf::from(path))),
        None => {
            let address = check.address(KEY, text)?;
            if !address.ip().is_loopback() {
                let remedy = "listen on 127.0.0.1 or a Unix socket, unless the network is yours alone; then name in \
                              server.admin_hosts what it is called there";
                check.warn(KEY, "exposes the admin API without TLS to other machines", remedy);
            }
            Ok(AdminListen::Tcp(address))
        }
    }
}

/// Returns true for a host as in a `Host` header: without a scheme or a path.
fn check_host(check: &mut Check<'_>, host: &str) -> Result<(), Reported> {
    let authority = host.parse::<http::uri::Authority>();
    let is_host = authority.is_ok_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    if is_host {
        return Ok(());
    }
    let remedy = "use host names or addresses with or without a port: gate.example.com, 10.0.0.5:9090";
    Err(check.problem("server.admin_hosts", "contains an invalid host", remedy))
}

/// Checks that the listeners differ. The system assigns port 0, and never the same port twice.
fn check_apart(check: &mut Check<'_>, public: SocketAddr, admin: SocketAddr) {
    let same_ip = public.ip() == admin.ip() || public.ip().is_unspecified() || admin.ip().is_unspecified();
    if same_ip && public.port() == admin.port() && public.port() != 0 {
        let remedy = "use a separate port, because GitHub and others can reach the public one";
        check.problem("server.admin_listen", "equals server.listen", remedy);
    }
}
