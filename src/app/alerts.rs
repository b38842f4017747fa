//! Alerts are stored first and told afterwards; repeats fold into one with a count.

use super::records;
use crate::domain::alert::Alert;
use crate::ports::alert_sink::AlertSink;
use crate::ports::{Failure, Ledger};
use std::time::Duration;

/// Stores an alert and hands it to the sink. Raising the same alert for the same job again changes nothing.
///
/// # Errors
/// The ledger's or the sink's failure.
pub async fn raise(
    ledger: &dyn Ledger,
    sink: &dyn AlertSink,
    alert: Alert,
    retention: Duration,
) -> Result<(), Failure> {
    let key = alert.key.clone();
    let stored = records::update(ledger, &key, retention, |old: Option<Alert>| match old {
        None => Some(alert.clone()),
        Some(old) => Some(old.raised_again(&alert)),
    })
    .await?;
    match stored {
        Some(stored) => sink.raise(&stored).await,
        None => Ok(()),
    }
}
