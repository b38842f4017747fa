//! A connection to a server or to a cluster, and the classification of its errors.

use super::target::{Target, tcp_settings};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, ProtocolVersion, PushInfo, RedisError, RedisFuture,
    RedisResult, Value,
};
use std::time::Duration;

/// The channel of the wake-ups.
const WAKE_UP_CHANNEL: &str = "jitgate:changed";
/// Errors that concern a command and not the server that returned them.
const COMMAND_ERRORS: [&str; 3] = ["NOSCRIPT", "OOM", "BUSY"];
/// Redirections of a cluster, which the library follows.
const REDIRECTIONS: [&str; 5] = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"];
/// Errors of a server that cannot serve requests, or not yet. It returns them before it does anything.
const REJECTIONS: [&str; 5] = ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "NOREPLICAS"];

/// A connection; its clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects and subscribes to the wake-ups; `pushed` receives them.
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
                server.subscribe(WAKE_UP_CHANNEL).await?;
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
                cluster.subscribe(WAKE_UP_CHANNEL).await?;
                Ok(Self::Cluster(cluster))
            }
        }
    }

    /// Returns true if a new connection may be better after this error, because this one leads to the wrong server or
    /// to none. A cluster connection recovers from the loss of a node by itself.
    pub(super) fn must_be_replaced_after(&self, error: &RedisError) -> bool {
        let code = error.code();
        let is_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
        match (self, error.kind()) {
            (_, ErrorKind::UnexpectedReturnType | ErrorKind::Client) => false,
            (Self::Server(_), _) => !is_one_of(&COMMAND_ERRORS),
            (Self::Cluster(_), ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed) => true,
            (Self::Cluster(_), _) => code.is_some() && !is_one_of(&COMMAND_ERRORS) && !is_one_of(&REDIRECTIONS),
        }
    }
}

/// Returns true if a command certainly changed nothing: it reached no server, or one that rejected it unread.
pub(super) fn changed_nothing(error: &RedisError) -> bool {
    error.is_connection_refusal()
        || error.kind() == ErrorKind::ClusterConnectionNotFound
        || error.code().is_some_and(|code| REJECTIONS.contains(&code))
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
