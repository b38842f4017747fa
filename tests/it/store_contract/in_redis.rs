//! The Redis engine under test, on one server and on a cluster. Their clocks only move by themselves.

use super::engine::{Engine, Store};
use crate::support::redis::{Cluster, DURABLE, Server};
use async_trait::async_trait;
use jitgate::adapters::redis::{RedisStore, Settings};
use jitgate::ports::queue::Bounds;
use secrecy::SecretString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A server for one story.
pub(super) struct OnServer(Server);

impl OnServer {
    pub(super) fn new() -> Self {
        Self(Server::start(DURABLE))
    }
}

/// A cluster for one story after the other.
pub(super) struct OnCluster(Cluster);

impl OnCluster {
    pub(super) fn new() -> Self {
        Self(Cluster::start())
    }
}

fn store(url: String, shards: u32, bounds: Bounds) -> Arc<dyn Store> {
    let shards = NonZeroU32::new(shards).expect("not zero");
    let settings = Settings {
        // The machine may be busy, and some bodies are big.
        timeout: Duration::from_secs(30),
        ..Settings::new(SecretString::from(url), shards, bounds)
    };
    Arc::new(RedisStore::new(settings).expect("a good URL"))
}

#[async_trait]
impl Engine for OnServer {
    async fn open(&self, bounds: Bounds) -> Arc<dyn Store> {
        store(format!("redis://{}", self.0.address()), 1, bounds)
    }

    fn brief(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn pass(&self, time: Duration) {
        self.0.pass(time);
    }
}

#[async_trait]
impl Engine for OnCluster {
    async fn open(&self, bounds: Bounds) -> Arc<dyn Store> {
        self.0.everywhere(&["FLUSHALL"]);
        store(format!("redis+cluster://{}", self.0.addresses()), 16, bounds)
    }

    fn brief(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn pass(&self, time: Duration) {
        self.0.node().pass(time);
    }
}
