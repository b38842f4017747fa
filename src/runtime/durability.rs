//! Reports the durability of the store: its settings, and the data that they can lose.

use super::wiring;
use super::wiring_error::WiringError;
use crate::adapters::clock::SystemClock;
use crate::config::{Config, Host, StoreUrl};
use crate::ports::promise::Promise;
use crate::ports::{Durability, Failure};
use std::sync::Arc;
use std::time::Duration;

/// The timeout for an answer of the store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which a store that did not answer is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// The reason why the store could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// The store could not be opened.
    #[error(transparent)]
    Closed(#[from] WiringError),
    /// The store did not answer.
    #[error(transparent)]
    Silent(#[from] Failure),
}

/// Returns the durability settings of the configured store, which may be in use by a process that serves.
///
/// # Errors
/// Fails if the store cannot be opened, or does not answer in time.
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

/// Performs every operation of a serving process once on the configured store, beside a process that serves.
///
/// # Errors
/// Fails if the store cannot be opened, rejects an operation, or does not answer in time.
pub async fn try_out_store(config: &Config) -> Result<(), Unasked> {
    if matches!(config.store.url, StoreUrl::Memory) {
        return Ok(());
    }
    let store = wiring::open_store_beside(config, Arc::new(SystemClock))?;
    Ok(with_timeout(store.durability.try_out()).await?)
}

/// Returns the place of a configured store that accepts clients without a password although jobs run on this machine;
/// otherwise none.
///
/// # Errors
/// Fails if the store cannot be opened, or does not answer in time.
pub async fn open_place(config: &Config) -> Result<Option<String>, Unasked> {
    if config.runners.host != Host::Local || matches!(config.store.url, StoreUrl::Memory | StoreUrl::Sqlite(_)) {
        return Ok(None);
    }
    let store = wiring::open_store_beside(config, Arc::new(SystemClock))?;
    Ok(with_timeout(store.durability.open_place()).await?)
}

async fn ask(durability: &dyn Durability) -> Result<Vec<Promise>, Failure> {
    with_timeout(durability.promises()).await
}

async fn with_timeout<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| {
        Failure::Transient(format!(
            "the store did not answer within {} s",
            ANSWER_TIMEOUT.as_secs()
        ))
    };
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(late)?
}

/// Logs the durability of the store as soon as it answers.
pub(super) async fn report(durability: Arc<dyn Durability>) {
    let promises = loop {
        match ask(durability.as_ref()).await {
            Ok(promises) => break promises,
            Err(failure) => tracing::warn!(%failure, "failed to read the durability settings of the store"),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    };
    for promise in promises {
        let (place, setting) = (promise.place, promise.setting);
        let value = promise.value.as_deref().unwrap_or("unknown");
        match promise.weakness {
            None => tracing::info!(place, setting, value, "the store loses no data because of {setting}"),
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
