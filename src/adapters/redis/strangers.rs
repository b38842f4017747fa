//! Whether a server lets in those who bring no password. A password in our URL shuts nobody out: the server has to ask for
//! one, also of its default user, and on every port.

use super::store::{LAYOUT_KEY, RedisStore};
use super::target::{Target, of_stranger};
use crate::ports::Failure;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, Value,
};
use std::io;
use std::time::Duration;

/// What a stranger tries. One of these is enough to change what we read.
const TRIED: &[&[&str]] = &[
    &["EXISTS", LAYOUT_KEY],
    &["DEL", "{jitgate:0}:probe:stranger"],
    &["EVAL", "return 1", "0"],
    &["CONFIG", "GET", "port"],
];
/// Longer than a server of this machine or its neighbourhood takes.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

impl RedisStore {
    /// The first place where the server, one of a cluster, or the port beside a socket, obeys a stranger.
    pub(super) async fn place_open_to_strangers(&self) -> Result<Option<String>, Failure> {
        let link = self.bare_link();
        let (places, is_socket) = match link.target() {
            // The socket is kept from jobs by its place; the server's port is not.
            Target::Server(info) if matches!(info.addr(), ConnectionAddr::Unix(_)) => {
                (self.port_beside_the_socket().await?, true)
            }
            Target::Server(info) => (vec![*info.clone()], false),
            Target::Cluster(nodes) => (nodes.clone(), false),
        };
        let (mut is_told, mut silent) = (is_socket, None);
        for place in places {
            match obeys_strangers(&place).await {
                Ok(true) => return Ok(Some(place.addr().to_string())),
                Ok(false) => is_told = true,
                Err(error) => silent = Some(error),
            }
        }
        match silent {
            Some(error) if !is_told => Err(Failure::Transient(format!("Redis: {error}"))),
            _ => Ok(None),
        }
    }

    async fn port_beside_the_socket(&self) -> Result<Vec<ConnectionInfo>, Failure> {
        let mut asked = redis::cmd("INFO");
        asked.arg("server");
        let info: String = self.link().await?.ask(&asked).await?;
        let port = info.lines().find_map(|line| line.strip_prefix("tcp_port:"));
        let port = port
            .and_then(|port| port.trim().parse::<u16>().ok())
            .filter(|port| *port != 0);
        let place = port.and_then(|port| format!("redis://127.0.0.1:{port}").into_connection_info().ok());
        Ok(place.into_iter().collect())
    }
}

/// Fails where nobody answers, so that nothing is known.
async fn obeys_strangers(place: &ConnectionInfo) -> RedisResult<bool> {
    let mut stranger = match enter(of_stranger(place)).await {
        Err(error) if error.is_io_error() => return Err(error),
        Err(_) => return Ok(false),
        Ok(stranger) => stranger,
    };
    for words in TRIED {
        let Some((name, rest)) = words.split_first() else {
            continue;
        };
        let mut command = redis::cmd(name);
        command.arg(rest);
        let asked = command.query_async::<Value>(&mut stranger);
        let silent = |_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        match tokio::time::timeout(CONNECT_TIMEOUT, asked).await.map_err(silent)? {
            Ok(_) => return Ok(true),
            Err(error) => match error.code() {
                // Shut out, of this command at least; or there is no such command.
                Some("NOAUTH" | "NOPERM" | "DENIED" | "ERR") => {}
                // Let in, and told of something else.
                Some("READONLY" | "MOVED" | "ASK" | "CROSSSLOT" | "OOM") => return Ok(true),
                _ => return Err(error),
            },
        }
    }
    Ok(false)
}

async fn enter(info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
    Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
