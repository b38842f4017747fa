//! The store: what queue and ledger share.

use super::link::Link;
use super::scripts::Scripts;
use super::shards::{Shard, Shards};
use super::target::Target;
use super::usage::Usage;
use crate::ports::Failure;
use crate::ports::queue::Bounds;
use futures::future::try_join_all;
use secrecy::{ExposeSecret, SecretString};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What holds the layout, and which one this is; mod.rs describes it.
pub(super) const LAYOUT_KEY: &str = "jitgate:layout";
const LAYOUT_VERSION: u32 = 1;

/// Where the store is and how much it keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis://`, `rediss://`, `redis+unix://` or `redis+cluster://`; a cluster may be given as `HOST:PORT,HOST:PORT`.
    pub url: SecretString,
    /// Number of shards. The same for every process, and for as long as the store exists.
    pub shards: NonZeroU32,
    /// How much is kept.
    pub bounds: Bounds,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

impl Settings {
    /// Settings with the usual timeout: a call that Redis does not answer has failed within 2 s.
    #[must_use]
    pub fn new(url: SecretString, shards: NonZeroU32, bounds: Bounds) -> Self {
        Self {
            url,
            shards,
            bounds,
            timeout: Duration::from_millis(1800),
        }
    }
}

/// Queue and ledger in Redis.
pub struct RedisStore {
    pub(super) scripts: Scripts,
    pub(super) shards: Shards,
    pub(super) bounds: Bounds,
    pub(super) usage: Usage,
    /// Which shard goes first in the next claim.
    pub(super) turn: AtomicUsize,
    link: Link,
    /// The connection by which the layout was looked at last; another one may lead to another server.
    laid_out_by: AtomicU64,
}

impl RedisStore {
    /// A store that connects when it is used, so that a server which is down does not keep a process from starting.
    ///
    /// # Errors
    /// [`Failure::Permanent`] when the URL is none of a Redis server.
    pub fn new(settings: Settings) -> Result<Self, Failure> {
        let target = Target::parse(settings.url.expose_secret())
            .map_err(|error| Failure::Permanent(format!("the URL of the store: {error}")))?;
        Ok(Self {
            scripts: Scripts::new(),
            shards: Shards(settings.shards),
            bounds: settings.bounds,
            usage: Usage::default(),
            turn: AtomicUsize::new(0),
            link: Link::new(target, settings.timeout),
            // No connection has that number.
            laid_out_by: AtomicU64::new(u64::MAX),
        })
    }

    /// The way to the server, once it is certain that it holds what we take it to hold.
    pub(super) async fn link(&self) -> Result<&Link, Failure> {
        if self.laid_out_by.load(Ordering::Relaxed) != self.link.number() {
            self.lay_out().await?;
            self.laid_out_by.store(self.link.number(), Ordering::Relaxed);
        }
        Ok(&self.link)
    }

    /// The way to the server before that is certain.
    pub(super) fn bare_link(&self) -> &Link {
        &self.link
    }

    /// Asks the same of every shard, at once.
    pub(super) async fn of_all<T, F>(&self, ask: impl Fn(Shard) -> F) -> Result<Vec<T>, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        try_join_all(self.shards.all().map(ask)).await
    }

    /// Makes the store ours if it is empty, and else checks that it is laid out the way we do it.
    async fn lay_out(&self) -> Result<(), Failure> {
        let ours = format!("{LAYOUT_VERSION}/{}", self.shards.0);
        let _was_empty: bool = self.link.ask(redis::cmd("SETNX").arg(LAYOUT_KEY).arg(&ours)).await?;
        let found: String = self.link.ask(redis::cmd("GET").arg(LAYOUT_KEY)).await?;
        if found == ours {
            return Ok(());
        }
        Err(Failure::Permanent(match found.split_once('/') {
            Some(("1", shards)) => format!(
                "the store has {shards} shards and store.shards is {}: set it to {shards}, or empty the store",
                self.shards.0
            ),
            _ => format!("the store has layout {found:?}, and this version knows only {LAYOUT_VERSION}"),
        }))
    }
}
