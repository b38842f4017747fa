//! The address and the user of the server, parsed from the URL.

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult,
};
use std::time::Duration;

/// The time after which a silent peer is considered lost.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The target of the URL.
pub(super) enum Target {
    Server(Box<ConnectionInfo>),
    /// A cluster, given by some of its nodes.
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    /// Parses `redis://`, `rediss://`, `redis+unix://` or `redis+cluster://`, with `[USER][:PASSWORD]@` before the
    /// address. A cluster may be given as several nodes separated by commas.
    ///
    /// # Errors
    /// Fails for every other URL. The error contains no part of the URL.
    pub(super) fn parse(url: &str) -> RedisResult<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid_url)?;
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (format!("{user}@"), place),
            None => (String::new(), rest),
        };
        match scheme {
            "redis" | "rediss" => Ok(Self::server(url.into_connection_info()?)),
            "redis+unix" => {
                let socket = format!("redis+unix://{place}").into_connection_info()?;
                if user.is_empty() {
                    return Ok(Self::server(socket));
                }
                // The library expects the user of a socket's URL in another place, and decodes it here.
                let named = format!("redis://{user}localhost").into_connection_info()?;
                let redis = named.redis_settings().clone().set_db(socket.redis_settings().db());
                Ok(Self::server(socket.set_redis_settings(redis)))
            }
            "redis+cluster" => {
                let node = |node: &str| Ok(configured(format!("redis://{user}{node}").into_connection_info()?));
                place
                    .split(',')
                    .map(node)
                    .collect::<RedisResult<_>>()
                    .map(Self::Cluster)
            }
            _ => Err(invalid_url()),
        }
    }

    fn server(info: ConnectionInfo) -> Self {
        Self::Server(Box::new(configured(info)))
    }
}

fn invalid_url() -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "expected a URL of a Redis server"))
}

/// Adds the settings of every connection.
fn configured(info: ConnectionInfo) -> ConnectionInfo {
    // Wake-ups arrive as RESP3 pushes between the answers.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(redis).set_tcp_settings(tcp_settings())
}

/// Returns the same address without user and password. RESP2 needs no handshake before a command.
pub(super) fn unauthenticated(info: &ConnectionInfo) -> ConnectionInfo {
    let redis = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
    info.clone().set_redis_settings(redis)
}

pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIMEOUT)
        .with_interval(KEEPALIVE_TIMEOUT / 5);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(KEEPALIVE_TIMEOUT);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ConnectionInfo {
        match Target::parse(url) {
            Ok(Target::Server(info)) => *info,
            _ => panic!("{url} is not the URL of a server"),
        }
    }

    #[test]
    fn users_and_passwords_are_read_from_every_scheme() {
        let urls = [
            ("redis://gate:p%40ss@localhost:7000/2", "localhost:7000"),
            ("rediss://gate:p%40ss@localhost:7000/2", "localhost:7000"),
            ("redis+unix://gate:p%40ss@/run/redis.sock?db=2", "/run/redis.sock"),
            (
                "redis+unix:///run/redis.sock?db=2&user=gate&pass=p%40ss",
                "/run/redis.sock",
            ),
        ];
        for (url, place) in urls {
            let info = server(url);
            let redis = info.redis_settings();
            assert_eq!(
                (redis.username(), redis.password(), redis.db()),
                (Some("gate"), Some("p@ss"), 2),
                "{url}"
            );
            assert_eq!(info.addr().to_string(), place);
        }
        assert_eq!(server("redis://:secret@localhost").redis_settings().username(), None);
    }

    #[test]
    fn a_cluster_is_some_of_its_nodes() {
        let Ok(Target::Cluster(nodes)) = Target::parse("redis+cluster://:secret@a,b:7001,[::1]:7002") else {
            panic!("no cluster");
        };
        let places: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(places, ["a:6379", "b:7001", "::1:7002"]);
        assert!(
            nodes
                .iter()
                .all(|node| node.redis_settings().password() == Some("secret"))
        );
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        for url in [
            "redis:",
            "redis+unix://:secret@host",
            "redis://:secret@host:port",
            "http://:secret@host",
        ] {
            let error = Target::parse(url).err().expect("refused").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
