//! The link to the server: one connection that all calls share, and a new one as soon as it is lost or leads to the
//! wrong server.
//!
//! A failed attempt to connect is not remembered: the next call makes another one, but at most one per
//! [`RECONNECT_INTERVAL`]. A command is sent twice only if it certainly changed nothing the first time.

use super::connection::{Connection, changed_nothing};
use super::scripts::Script;
use super::target::Target;
use crate::ports::Failure;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Cmd, ErrorKind, FromRedisValue, PushKind, RedisError, RedisResult, ServerErrorKind, Value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// The minimum time between the starts of two attempts to connect.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A link to the server.
pub(super) struct Link(Arc<Inner>);

struct Inner {
    target: Target,
    timeout: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The number of the latest connection or attempt.
    number: u64,
    live: Option<Live>,
    attempt: Option<Attempt>,
    /// The earliest start of the next attempt.
    not_before: Option<Instant>,
}

/// A connection that is in use.
#[derive(Clone)]
struct Live {
    number: u64,
    since: Instant,
    connection: Connection,
}

/// An attempt to connect. It continues if its waiting callers are cancelled.
type Attempt = Shared<BoxFuture<'static, RedisResult<Live>>>;

/// The connection or the attempt that a call uses.
enum Found {
    Live(Live),
    /// An attempt, and whether this call started it.
    Attempt(Attempt, bool),
}

impl Link {
    /// Creates a link that connects at its first use. A call waits at most `timeout`.
    pub(super) fn new(target: Target, timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            target,
            timeout,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Runs a script with a call that [`Script::on`] created.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, Failure> {
        self.with_timeout(async {
            match self.send(call).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.send(&script.in_full(call)).await
                }
                answer => answer,
            }
        })
        .await
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        self.with_timeout(self.send(command)).await
    }

    /// Sends a command that may be denied. The connection is kept, whatever the answer is.
    pub(super) async fn try_out(&self, command: &Cmd) -> Result<Value, Failure> {
        self.with_timeout(async { command.query_async(&mut self.live().await?.connection).await })
            .await
    }

    /// Sends a command to every server that accepts writes, and returns each server's name and answer.
    pub(super) async fn ask_each<T: FromRedisValue>(&self, command: &Cmd) -> Result<Vec<(String, T)>, Failure> {
        self.with_timeout(async {
            let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
            match (self.live().await?.connection, &self.0.target) {
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

    pub(super) fn target(&self) -> &Target {
        &self.0.target
    }

    /// Returns the number of the current connection; no connection has number 0.
    pub(super) fn number(&self) -> u64 {
        self.0.state().number
    }

    /// Waits for the next wake-up after this call, or until the connection is lost or comes back.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    async fn with_timeout<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.0.timeout, call).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => {
                self.0.drop_silent_connection();
                Err(Failure::Transient(format!(
                    "no answer from Redis within {} ms",
                    self.0.timeout.as_millis()
                )))
            }
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.send_once(command).await {
            // Another server may have taken over the address.
            Err(error) if changed_nothing(&error) => self.send_once(command).await,
            answer => answer,
        }
    }

    async fn send_once<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut live = self.live().await?;
        let answer = command.query_async(&mut live.connection).await;
        if let Err(error) = &answer
            && live.connection.must_be_replaced_after(error)
        {
            tracing::warn!(%error, "reconnecting to Redis: {error}");
            self.0.drop_connection(live.number);
        }
        answer
    }

    async fn live(&self) -> RedisResult<Live> {
        let (attempt, is_ours) = match self.0.find() {
            Found::Live(live) => return Ok(live),
            Found::Attempt(attempt, is_ours) => (attempt, is_ours),
        };
        match attempt.await {
            // The attempt began before this call, and its error may be outdated.
            Err(_) if !is_ours => match self.0.find() {
                Found::Live(live) => Ok(live),
                Found::Attempt(attempt, _) => attempt.await,
            },
            outcome => outcome,
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection or the current attempt; starts an attempt if there is none.
    fn find(self: &Arc<Self>) -> Found {
        let mut state = self.state();
        if let Some(live) = &state.live {
            return Found::Live(live.clone());
        }
        if let Some(attempt) = &state.attempt {
            return Found::Attempt(attempt.clone(), false);
        }
        let now = Instant::now();
        let begins = state.not_before.map_or(now, |not_before| not_before.max(now));
        state.not_before = Some(begins + RECONNECT_INTERVAL);
        state.number += 1;
        let attempt = self.clone().connect(state.number, begins).boxed().shared();
        state.attempt = Some(attempt.clone());
        drop(state);
        tokio::spawn(attempt.clone().map(drop));
        Found::Attempt(attempt, true)
    }

    async fn connect(self: Arc<Self>, number: u64, begins: Instant) -> RedisResult<Live> {
        tokio::time::sleep_until(begins).await;
        let inner = Arc::downgrade(&self);
        let is_server = matches!(self.target, Target::Server(_));
        let opening = Connection::open(&self.target, self.timeout, move |push| {
            let Some(inner) = inner.upgrade() else { return };
            if is_server && push.kind == PushKind::Disconnection {
                inner.drop_connection(number);
            }
            inner.changed.notify_waiters();
        });
        let opened = match tokio::time::timeout(self.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        };
        let outcome = opened.map(|connection| Live {
            number,
            since: Instant::now(),
            connection,
        });
        let mut state = self.state();
        state.attempt = None;
        state.live = outcome.as_ref().ok().cloned();
        drop(state);
        self.changed.notify_waiters();
        outcome
    }

    /// Makes the next call reconnect, unless that has happened already. Calls that wait for an answer still get it.
    fn drop_connection(&self, number: u64) {
        let mut state = self.state();
        if state.live.as_ref().is_some_and(|live| live.number == number) {
            state.live = None;
        }
    }

    /// Drops a server that was silent for a whole call. The library handles the silent nodes of a cluster.
    fn drop_silent_connection(&self) {
        let mut state = self.state();
        let is_silent =
            |live: &Live| matches!(live.connection, Connection::Server(_)) && live.since.elapsed() >= self.timeout;
        if state.live.as_ref().is_some_and(is_silent) {
            state.live = None;
        }
    }
}

/// Nearly every error of a server is temporary, because another server, or the same one later, may answer differently.
fn failure(error: &RedisError) -> Failure {
    let text = format!("Redis: {error}");
    match error.kind() {
        ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
