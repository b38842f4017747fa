//! The lease of a delivery while it is processed. A lease is short, so that the deliveries of a dead worker are
//! available soon. A living worker renews it, so that a slow GitHub costs nothing.

use crate::ports::Queue;
use crate::ports::queue::Lease;
use std::time::Duration;

/// Duration of a lease.
pub(in crate::app) const LEASE_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval of the renewal. Two renewals may fail.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// Renews a lease repeatedly. Returns when another worker may have the delivery; no further work on it is permitted
/// then.
pub(in crate::app) async fn until_lost(queue: &dyn Queue, lease: &Lease) {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        match queue.hold(lease, LEASE_TIMEOUT).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(delivery = %lease.id, "lost the lease of delivery {}", lease.id);
                return;
            }
            // Without the store there is no ledger either, and no decision is made without it.
            Err(failure) => {
                tracing::debug!(delivery = %lease.id, %failure, "failed to renew the lease of delivery {}", lease.id)
            }
        }
    }
}
