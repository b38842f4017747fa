//! Holds a delivery for as long as it is worked on. A lease is short, so that what a dead worker held comes back soon, and
//! a living one renews it, so that a slow GitHub takes nothing away from it.

use crate::ports::Queue;
use crate::ports::queue::Lease;
use std::time::Duration;

/// How long a delivery stays with a worker that is not heard of.
pub(in crate::app) const LEASE: Duration = Duration::from_secs(15);
/// How often it is heard of: twice may go wrong.
const RENEWAL: Duration = Duration::from_secs(5);

/// Renews a lease again and again. Returns once somebody else may have the delivery: then nothing more is to be done to it.
pub(in crate::app) async fn until_lost(queue: &dyn Queue, lease: &Lease) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        match queue.hold(lease, LEASE).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(delivery = %lease.id, "delivery {} was held for too long without a word", lease.id);
                return;
            }
            // If the store stays away the ledger does too, and nothing is decided without it.
            Err(failure) => tracing::debug!(delivery = %lease.id, %failure, "cannot renew the lease of {}", lease.id),
        }
    }
}
