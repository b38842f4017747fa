//! The check for a server that accepts clients without a password. A password in the URL is not enough: the server must
//! require one, also of its default user and on every port.

use super::store::{LAYOUT_KEY, RedisStore};
use super::target::{Target, unauthenticated};
use crate::ports::Failure;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, Value,
};
use std::io;
use std::time::Duration;

/// The commands of an unauthenticated client. Each of them is enough to change the data of jitgate.
const PROBES: &[&[&str]] = &[
    &["EXISTS", LAYOUT_KEY],
    &["DEL", "{jitgate:0}:probe:unauthenticated"],
    &["EVAL", "return 1", "0"],
    &["CONFIG", "GET", "port"],
];
/// Longer than a server on this machine or in its network needs.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

impl RedisStore {
    /// Returns the first place that accepts an unauthenticated client: the server, a node of a cluster, or the port
    /// beside a socket.
    pub(super) async fn unauthenticated_place(&self) -> Result<Option<String>, Failure> {
        let link = self.bare_link();
        let (places, is_socket) = match link.target() {
            // The socket's location protects it from jobs; the server's port is not protected.
            Target::Server(info) if matches!(info.addr(), ConnectionAddr::Unix(_)) => {
                (self.port_beside_the_socket().await?, true)
            }
            Target::Server(info) => (vec![*info.clone()], false),
            Target::Cluster(nodes) => (nodes.clone(), false),
        };
        let (mut is_answered, mut silent) = (is_socket, None);
        for place in places {
            match accepts_unauthenticated(&place).await {
                Ok(true) => return Ok(Some(place.addr().to_string())),
                Ok(false) => is_answered = true,
                Err(error) => silent = Some(error),
            }
        }
        match silent {
            Some(error) if !is_answered => Err(Failure::Transient(format!("Redis: {error}"))),
            _ => Ok(None),
        }
    }

    async fn port_beside_the_socket(&self) -> Result<Vec<ConnectionInfo>, Failure> {
        let mut command = redis::cmd("INFO");
        command.arg("server");
        let info: String = self.link().await?.ask(&command).await?;
        let port = info.lines().find_map(|line| line.strip_prefix("tcp_port:"));
        let port = port
            .and_then(|port| port.trim().parse::<u16>().ok())
            .filter(|port| *port != 0);
        let place = port.and_then(|port| format!("redis://127.0.0.1:{port}").into_connection_info().ok());
        Ok(place.into_iter().collect())
    }
}

/// Fails if the place does not answer, because then nothing is known.
async fn accepts_unauthenticated(place: &ConnectionInfo) -> RedisResult<bool> {
    let mut client = match connect(unauthenticated(place)).await {
        Err(error) if error.is_io_error() => return Err(error),
        Err(_) => return Ok(false),
        Ok(client) => client,
    };
    for words in PROBES {
        let Some((name, rest)) = words.split_first() else {
            continue;
        };
        let mut command = redis::cmd(name);
        command.arg(rest);
        let answer = command.query_async::<Value>(&mut client);
        let silent = |_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        match tokio::time::timeout(CONNECT_TIMEOUT, answer).await.map_err(silent)? {
            Ok(_) => return Ok(true),
            Err(error) => match error.code() {
                // The command is denied, or does not exist.
                Some("NOAUTH" | "NOPERM" | "DENIED" | "ERR") => {}
                // The client is accepted; the error has another cause.
                Some("READONLY" | "MOVED" | "ASK" | "CROSSSLOT" | "OOM") => return Ok(true),
                _ => return Err(error),
            },
        }
    }
    Ok(false)
}

async fn connect(info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
    Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}
