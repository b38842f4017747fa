//! Tells people what the store promises, and what its settings can lose.

use super::wiring::{self, WiringError};
use crate::adapters::clock::SystemClock;
use crate::config::{Config, Host, StoreUrl};
use crate::ports::promise::Promise;
use crate::ports::{Durability, Failure};
use std::sync::Arc;
use std::time::Duration;

/// How long a store may take to say what it promises.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until a store that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// The store was not asked what it promises.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// It did not open.
    #[error(transparent)]
    Closed(#[from] WiringError),
    /// It did not answer.
    #[error(transparent)]
    Silent(#[from] Failure),
}

/// What the configured store promises. It may be in use by a process that serves.
///
/// # Errors
/// When the store does not open, or does not answer in time.
pub async fn promises(config: &Config) -> Result<Vec<Promise>, Unasked> {
    let clock = Arc::new(SystemClock);
    let store = match &config.store.url {
        StoreUrl::Memory => wiring::open_store(config, clock),
        StoreUrl::Sqlite(_) | StoreUrl::Redis(_) | StoreUrl::RedisCluster(_) => {
            wiring::open_store_beside(config, clock)
        }
    };
    Ok(ask(store?.durability.as_ref()).await?)
}

/// Has the configured store do once what serving asks of it, beside a process that serves.
///
/// # Errors
/// When the store does not open, does not do it, or not in time.
pub async fn try_out_store(config: &Config) -> Result<(), Unasked> {
    if matches!(config.store.url, StoreUrl::Memory) {
        return Ok(());
    }
    let store = wiring::open_store_beside(config, Arc::new(SystemClock))?;
    Ok(in_time(store.durability.try_out()).await?)
}

/// Where the configured store obeys those who bring no password, though jobs run on this machine; none where it does not.
///
/// # Errors
/// When the store does not open, or does not answer in time.
pub async fn open_place(config: &Config) -> Result<Option<String>, Unasked> {
    if config.runners.host != Host::Local || matches!(config.store.url, StoreUrl::Memory | StoreUrl::Sqlite(_)) {
        return Ok(None);
    }
    let store = wiring::open_store_beside(config, Arc::new(SystemClock))?;
    Ok(in_time(store.durability.open_place()).await?)
}

async fn ask(durability: &dyn Durability) -> Result<Vec<Promise>, Failure> {
    in_time(durability.promises()).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::Transient(format!("the store did not answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
}

/// Logs what the store promises, as soon as it answers.
pub(super) async fn tell(durability: Arc<dyn Durability>) {
    let promises = loop {
        match ask(durability.as_ref()).await {
            Ok(promises) => break promises,
            Err(failure) => tracing::warn!(%failure, "the store does not say what it promises"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    for promise in promises {
        let (place, setting) = (promise.place, promise.setting);
        let value = promise.value.as_deref().unwrap_or("unknown");
        match promise.weakness {
            None => tracing::info!(place, setting, value, "the store loses nothing by {setting}"),
            Some(weakness) => tracing::warn!(
                place,
                setting,
                value,
                remedy = weakness.remedy,
                "the store can lose {}",
                weakness.can_lose
            ),
        }
    }
}
