//! One connection to one server, or to a cluster, and what its errors say about it.

use super::target::{Target, tcp_settings};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, ProtocolVersion, PushInfo, RedisError, RedisFuture,
    RedisResult, Value,
};
use std::time::Duration;

/// Told of when something may be due.
const CHANGED: &str = "jitgate:changed";
/// Answers about a command, and not about the server that gave them.
const ABOUT_THE_COMMAND: [&str; 3] = ["NOSCRIPT", "OOM", "BUSY"];
/// Answers by which a cluster sends its clients about; the library follows them.
const ABOUT_THE_WAY: [&str; 5] = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"];
/// Answers of a server that is not, or not yet, the one to ask. It gives them before it does anything.
const REFUSED_UNREAD: [&str; 5] = ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "NOREPLICAS"];

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects, and asks for the pushes that `pushed` is told of.
    pub(super) async fn open(
        target: &Target,
        timeout: Duration,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        let pushed = move |info| {
            pushed(info);
            Ok::<(), redis::aio::SendError>(())
        };
        match target {
            Target::Server(info) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(timeout))
                    .set_response_timeout(None)
                    .set_push_sender(pushed);
                let client = Client::open(*info.clone())?;
                let mut server = client.get_multiplexed_async_connection_with_config(&config).await?;
                server.subscribe(CHANGED).await?;
                Ok(Self::Server(server))
            }
            Target::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .retries(0)
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp_settings())
                    .push_sender(pushed)
                    .build()?;
                let mut cluster = client.get_async_connection().await?;
                cluster.subscribe(CHANGED).await?;
                Ok(Self::Cluster(cluster))
            }
        }
    }

    /// Whether this connection leads to the wrong place, or nowhere, so that a new one may be better. A cluster's finds its
    /// way by itself after the loss of a node.
    pub(super) fn is_spent_by(&self, error: &RedisError) -> bool {
        let code = error.code();
        let is_about = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
        match (self, error.kind()) {
            (_, ErrorKind::UnexpectedReturnType | ErrorKind::Client) => false,
            (Self::Server(_), _) => !is_about(&ABOUT_THE_COMMAND),
            (Self::Cluster(_), ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed) => true,
            (Self::Cluster(_), _) => code.is_some() && !is_about(&ABOUT_THE_COMMAND) && !is_about(&ABOUT_THE_WAY),
        }
    }
}

/// Whether a command certainly changed nothing: it did not reach a server, or one that refused to look at it.
pub(super) fn changed_nothing(error: &RedisError) -> bool {
    error.is_connection_refusal()
        || error.kind() == ErrorKind::ClusterConnectionNotFound
        || error.code().is_some_and(|code| REFUSED_UNREAD.contains(&code))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
