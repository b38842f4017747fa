//! The alert about the use of an old webhook secret. The ingress detects the use, and its answer does not wait for the
//! alert.

use super::store::Alerts;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use chrono::TimeDelta;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Minimum time between two alerts, independent of the number of deliveries.
const ALERT_INTERVAL: TimeDelta = TimeDelta::seconds(60);

/// Raises the alert in the background, at most once per interval.
pub struct OldSecret {
    alerts: Arc<Alerts>,
    /// Milliseconds since 1970.
    next_at: AtomicI64,
}

impl OldSecret {
    /// Creates the reporter.
    #[must_use]
    pub fn new(alerts: Arc<Alerts>) -> Self {
        Self {
            alerts,
            next_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Records that the old secret at this position signed a delivery.
    pub(in crate::app) fn used(&self, position: usize) {
        let now = self.alerts.clock.now();
        let (at, next_at) = (now.timestamp_millis(), self.next_at.load(Ordering::Relaxed));
        let pause = ALERT_INTERVAL.num_milliseconds();
        let swap = |next_at| {
            self.next_at
                .compare_exchange(next_at, at + pause, Ordering::Relaxed, Ordering::Relaxed)
        };
        if at < next_at || swap(next_at).is_err() {
            return;
        }
        let summary = format!("a delivery was signed with webhook secret {position}, which is being replaced");
        let key = AlertKey::new(AlertKind::OldWebhookSecretUsed, None).caused_by(&format!("secret-{position}"));
        let alert = Alert::new(&key, None, &summary, now);
        let alerts = self.alerts.clone();
        tokio::spawn(async move {
            if let Err(failure) = alerts.raise(alert).await {
                tracing::warn!(%failure, "failed to raise an alert; the next use of this secret raises it again");
            }
        });
    }
}
