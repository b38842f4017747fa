//! Where alerts go besides the ledger.

use super::Failure;
use crate::domain::alert::Alert;
use async_trait::async_trait;

/// Takes alerts to where people see them.
#[async_trait]
pub trait AlertSink: Send + Sync + 'static {
    /// Hands one alert over; called again for each repeat, with a higher count.
    async fn raise(&self, alert: &Alert) -> Result<(), Failure>;
}
