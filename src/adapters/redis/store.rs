//! The common part of the queue and the ledger.

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

/// The key of the layout; mod.rs describes the layout.
pub(super) const LAYOUT_KEY: &str = "jitgate:layout";
const LAYOUT_VERSION: u32 = 1;

/// The address and the bounds of the store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis://`, `rediss://`, `redis+unix://` or `redis+cluster://`; a cluster may be given as `HOST:PORT,HOST:PORT`.
    pub url: SecretString,
    /// The number of shards, which is the same for every process and for the lifetime of the store.
    pub shards: NonZeroU32,
    pub bounds: Bounds,
    /// The timeout for an answer.
    pub timeout: Duration,
}

impl Settings {
    /// Creates settings with the default timeout: a call without an answer fails within 2 s.
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

/// A queue and a ledger in Redis.
pub struct RedisStore {
    pub(super) scripts: Scripts,
    pub(super) shards: Shards,
    pub(super) bounds: Bounds,
    pub(super) usage: Usage,
    /// The shard that is first in the next claim.
    pub(super) turn: AtomicUsize,
    link: Link,
    /// The connection on which the layout was last checked; another connection may lead to another server.
    layout_checked_on: AtomicU64,
}

impl RedisStore {
    /// Creates a store that connects at its first use, so that a process can start while the server is down.
    ///
    /// # Errors
    /// Returns [`Failure::Permanent`] if the URL is not one of a Redis server.
    pub fn new(settings: Settings) -> Result<Self, Failure> {
        let target = Target::parse(settings.url.expose_secret())
            .map_err(|error| Failure::Permanent(format!("invalid store.url: {error}")))?;
        Ok(Self {
            scripts: Scripts::new(),
            shards: Shards(settings.shards),
            bounds: settings.bounds,
            usage: Usage::default(),
            turn: AtomicUsize::new(0),
            link: Link::new(target, settings.timeout),
            // No connection has this number.
            layout_checked_on: AtomicU64::new(u64::MAX),
        })
    }

    /// Returns the link to the server after the layout was checked on the current connection.
    pub(super) async fn link(&self) -> Result<&Link, Failure> {
        if self.layout_checked_on.load(Ordering::Relaxed) != self.link.number() {
            self.check_layout().await?;
            self.layout_checked_on.store(self.link.number(), Ordering::Relaxed);
        }
        Ok(&self.link)
    }

    /// Returns the link to the server without a check of the layout.
    pub(super) fn bare_link(&self) -> &Link {
        &self.link
    }

    /// Runs `ask` on every shard concurrently.
    pub(super) async fn on_all_shards<T, F>(&self, ask: impl Fn(Shard) -> F) -> Result<Vec<T>, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        try_join_all(self.shards.all().map(ask)).await
    }

    /// Initializes an empty store, and otherwise checks that it has the expected layout.
    async fn check_layout(&self) -> Result<(), Failure> {
        let expected = format!("{LAYOUT_VERSION}/{}", self.shards.0);
        let _was_empty: bool = self
            .link
            .ask(redis::cmd("SETNX").arg(LAYOUT_KEY).arg(&expected))
            .await?;
        let found: String = self.link.ask(redis::cmd("GET").arg(LAYOUT_KEY)).await?;
        if found == expected {
            return Ok(());
        }
        Err(Failure::Permanent(match found.split_once('/') {
            Some(("1", shards)) => format!(
                "the store has {shards} shards and store.shards is {}; set it to {shards}, or empty the store",
                self.shards.0
            ),
            _ => format!("the store has layout {found:?}, but this version supports only {LAYOUT_VERSION}"),
        }))
    }
}
