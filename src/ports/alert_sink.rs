//! The receivers of alerts outside the ledger.

use super::Failure;
use crate::domain::alert::{Alert, Pace};
use async_trait::async_trait;

/// A receiver of alerts.
#[async_trait]
pub trait AlertSink: Send + Sync + 'static {
    /// Returns the name in records and metrics.
    fn name(&self) -> &'static str;

    /// Returns how often the sink accepts messages about one alert.
    fn pace(&self) -> Pace;

    /// Sends the current state of an alert. It is called for each change, and possibly twice for one. It must time out
    /// by itself well within [`SEND_TIMEOUT_S`].
    async fn send(&self, alert: &Alert) -> Result<(), Failure>;
}

/// The timeout of one [`AlertSink::send`]. After it the message is sent again.
pub const SEND_TIMEOUT_S: i64 = 15;
