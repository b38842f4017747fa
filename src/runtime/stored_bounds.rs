//! The finding about bounds of the pool that an operator stored over the configured ones.

use super::identity;
use super::wiring;
use crate::adapters::clock::SystemClock;
use crate::app::records::{self, BoundsRecord};
use crate::config::Config;
use crate::domain::finding::{Finding, Subject};
use std::sync::Arc;
use std::time::Duration;

/// The timeout for an answer of the store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the finding that stored bounds apply instead of other configured ones. A store that does not answer is another
/// finding.
pub async fn overridden_bounds(config: &Config) -> Option<Finding> {
    let pool = identity::pool_name(&config.server.state_dir)?;
    let store = wiring::open_store_beside(config, Arc::new(SystemClock)).ok()?;
    let stored = records::load::<BoundsRecord>(store.ledger.as_ref(), &pool);
    let stored = tokio::time::timeout(ANSWER_TIMEOUT, stored).await.ok()?.ok()??;
    let runners = &config.runners;
    if (stored.min, stored.max, stored.target) == (runners.min, runners.max, runners.target) {
        return None;
    }
    Some(Finding::warning(
        Subject::Configuration,
        format!(
            "runners.min, runners.max and runners.target have no effect: the stored bounds are min {}, max {}, target {}, set by {} \
             at {}",
            stored.min,
            stored.max,
            stored.target,
            stored.origin,
            stored.origin.at.format("%Y-%m-%dT%H:%M:%SZ")
        ),
        "run `jitgate pool scale --reset` to let the configured bounds apply",
    ))
}
