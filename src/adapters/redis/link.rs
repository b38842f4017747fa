//! The connection: one, shared by everybody, that finds its way back by itself.
//!
//! Nothing is sent twice unless it is certain that it did not arrive the first time.

use super::scripts::Script;
use super::target::{Target, tcp_settings};
use crate::ports::Failure;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, SendError};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OnceCell};

/// Told of when something may be due.
const CHANGED: &str = "jitgate:changed";
/// Between attempts to connect. They are few: whoever calls next begins anew.
const RECONNECT: Duration = Duration::from_millis(50);
const RECONNECTS: usize = 2;

/// A way to the server.
pub(super) struct Link {
    target: Target,
    timeout: Duration,
    connection: OnceCell<Connection>,
    changed: Arc<Notify>,
}

#[derive(Clone)]
enum Connection {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Link {
    /// A way that is gone for the first time when it is needed. A call waits for `timeout` at most.
    pub(super) fn new(target: Target, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            connection: OnceCell::new(),
            changed: Arc::new(Notify::new()),
        }
    }

    /// Runs a script that was called by [`Script::on`].
    pub(super) async fn run<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, Failure> {
        self.in_time(async {
            match self.send(call).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.send(&script.in_full(call)).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Sends a command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        self.in_time(self.send(command)).await
    }

    /// Sends a command to every server that takes writes, and gives each server's name and answer.
    pub(super) async fn ask_each<T: FromRedisValue>(&self, command: &Cmd) -> Result<Vec<(String, T)>, Failure> {
        self.in_time(async {
            let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
            match (self.connection().await?.clone(), &self.target) {
                (Connection::Cluster(mut cluster), _) => {
                    let answers = cluster.route_command(command.clone(), everywhere).await?;
                    Ok(redis::from_redis_value(answers)?)
                }
                (Connection::Server(mut server), Target::Server(info)) => {
                    Ok(vec![(info.addr().to_string(), command.query_async(&mut server).await?)])
                }
                (Connection::Server(_), Target::Cluster(_)) => Ok(Vec::new()),
            }
        })
        .await
    }

    /// Ends at the next wake-up after this call, also when the connection is lost or comes back.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    async fn in_time<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => Err(Failure::Transient(format!(
                "no answer from Redis in {} ms",
                self.timeout.as_millis()
            ))),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut connection = self.connection().await?.clone();
        match command.query_async(&mut connection).await {
            Err(error) if never_left(&error) => command.query_async(&mut connection).await,
            answer => answer,
        }
    }

    async fn connection(&self) -> RedisResult<&Connection> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let changed = self.changed.clone();
        let pushed = move |_: PushInfo| {
            changed.notify_waiters();
            Ok::<(), SendError>(())
        };
        match &self.target {
            Target::Server(info) => {
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(self.timeout))
                    .set_response_timeout(None)
                    .set_min_delay(RECONNECT)
                    .set_number_of_retries(RECONNECTS)
                    .set_push_sender(pushed)
                    .set_automatic_resubscription();
                let mut server = ConnectionManager::new_with_config(Client::open(*info.clone())?, config).await?;
                server.subscribe(CHANGED).await?;
                Ok(Connection::Server(server))
            }
            Target::Cluster(nodes) => {
                let client = ClusterClient::builder(nodes.clone())
                    .retries(0)
                    .connection_timeout(self.timeout)
                    .response_timeout(self.timeout)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp_settings())
                    .push_sender(pushed)
                    .build()?;
                let mut cluster = client.get_async_connection().await?;
                cluster.subscribe(CHANGED).await?;
                Ok(Connection::Cluster(cluster))
            }
        }
    }
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

/// Whether the command certainly did not reach a server.
fn never_left(error: &RedisError) -> bool {
    error.is_connection_refusal() || error.kind() == ErrorKind::ClusterConnectionNotFound
}

fn failure(error: &RedisError) -> Failure {
    let text = format!("Redis: {error}");
    let is_refused = matches!(error.code(), Some("NOAUTH" | "NOPERM" | "WRONGPASS"));
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::UnexpectedReturnType => Failure::Permanent(text),
        _ if is_refused => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
