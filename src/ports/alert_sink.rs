//! Where alerts go besides the ledger.

use super::Failure;
use crate::domain::alert::{Alert, Pace};
use async_trait::async_trait;

/// Takes alerts to where people see them.
#[async_trait]
pub trait AlertSink: Send + Sync + 'static {
    /// Its name in records and metrics.
    fn name(&self) -> &'static str;

    /// How often it wants to hear of one alert.
    fn pace(&self) -> Pace;

    /// Tells it how an alert stands; again for each change, and perhaps twice for one. It must give up by itself, well
    /// within [`PATIENCE_S`].
    async fn tell(&self, alert: &Alert) -> Result<(), Failure>;
}

/// Seconds after which nobody waits any longer for a sink that is being told, and it is told again.
pub const PATIENCE_S: i64 = 15;
