//! The way to the server: one connection, shared by all calls, and a new one as soon as it is lost or leads astray.
//!
//! A failed attempt to connect is never remembered: the next call makes another one, though not more than one in
//! [`RECONNECT_INTERVAL`]. Nothing is sent twice unless it is certain that it changed nothing the first time.

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

/// Between the beginnings of two attempts to connect, however many calls ask for one.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A way to the server.
pub(super) struct Link(Arc<Way>);

struct Way {
    target: Target,
    timeout: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The latest connection, or attempt at one.
    number: u64,
    live: Option<Live>,
    attempt: Option<Attempt>,
    /// Before then no other attempt begins.
    not_before: Option<Instant>,
}

/// A connection that was not left yet.
#[derive(Clone)]
struct Live {
    number: u64,
    since: Instant,
    connection: Connection,
}

/// An attempt to connect. Whoever waits for it, it goes on without them.
type Attempt = Shared<BoxFuture<'static, RedisResult<Live>>>;

/// What a call finds.
enum Found {
    Live(Live),
    /// An attempt, and whether it began with this call.
    Attempt(Attempt, bool),
}

impl Link {
    /// A way that is gone for the first time when it is needed. A call waits for `timeout` at most.
    pub(super) fn new(target: Target, timeout: Duration) -> Self {
        Self(Arc::new(Way {
            target,
            timeout,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
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

    /// Sends a command that may be refused: whatever the answer is, it says nothing of the connection.
    pub(super) async fn try_out(&self, command: &Cmd) -> Result<Value, Failure> {
        self.in_time(async { command.query_async(&mut self.live().await?.connection).await })
            .await
    }

    /// Sends a command to every server that takes writes, and gives each server's name and answer.
    pub(super) async fn ask_each<T: FromRedisValue>(&self, command: &Cmd) -> Result<Vec<(String, T)>, Failure> {
        self.in_time(async {
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

    /// Where it leads.
    pub(super) fn target(&self) -> &Target {
        &self.0.target
    }

    /// Which connection this is; none has number 0.
    pub(super) fn number(&self) -> u64 {
        self.0.state().number
    }

    /// Ends at the next wake-up after this call, also when the connection is lost or comes back.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    async fn in_time<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.0.timeout, call).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => {
                self.0.leave_silent();
                Err(Failure::Transient(format!(
                    "no answer from Redis in {} ms",
                    self.0.timeout.as_millis()
                )))
            }
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.send_once(command).await {
            // Behind the same address there may be another server by now.
            Err(error) if changed_nothing(&error) => self.send_once(command).await,
            answer => answer,
        }
    }

    async fn send_once<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut live = self.live().await?;
        let answer = command.query_async(&mut live.connection).await;
        if let Err(error) = &answer
            && live.connection.is_spent_by(error)
        {
            tracing::warn!(%error, "a connection to Redis is left, and another one made: {error}");
            self.0.leave(live.number);
        }
        answer
    }

    async fn live(&self) -> RedisResult<Live> {
        let (attempt, is_ours) = match self.0.find() {
            Found::Live(live) => return Ok(live),
            Found::Attempt(attempt, is_ours) => (attempt, is_ours),
        };
        match attempt.await {
            // It began before this call, and what it met may be over.
            Err(_) if !is_ours => match self.0.find() {
                Found::Live(live) => Ok(live),
                Found::Attempt(attempt, _) => attempt.await,
            },
            outcome => outcome,
        }
    }
}

impl Way {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, or the attempt at one; begins one where there is none.
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
        let way = Arc::downgrade(&self);
        let is_server = matches!(self.target, Target::Server(_));
        let opening = Connection::open(&self.target, self.timeout, move |push| {
            let Some(way) = way.upgrade() else { return };
            if is_server && push.kind == PushKind::Disconnection {
                way.leave(number);
            }
            way.changed.notify_waiters();
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

    /// Has the next call connect anew, unless that happened meanwhile. Calls that wait for an answer still get it.
    fn leave(&self, number: u64) {
        let mut state = self.state();
        if state.live.as_ref().is_some_and(|live| live.number == number) {
            state.live = None;
        }
    }

    /// Leaves a server that was silent for a whole call. What a cluster's node does not answer is the library's business.
    fn leave_silent(&self) {
        let mut state = self.state();
        let is_silent =
            |live: &Live| matches!(live.connection, Connection::Server(_)) && live.since.elapsed() >= self.timeout;
        if state.live.as_ref().is_some_and(is_silent) {
            state.live = None;
        }
    }
}

/// Whatever a server answers, another one, or the same one later, may answer otherwise: work is not given up for it.
fn failure(error: &RedisError) -> Failure {
    let text = format!("Redis: {error}");
    match error.kind() {
        ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
