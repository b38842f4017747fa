//! The alert about a signed delivery that cannot be parsed. It is stored before the delivery is answered.

use super::store::Alerts;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::RepositoryName;

impl Alerts {
    /// Raises the alert for a delivery of this repository, or of an unknown one.
    pub(in crate::app) async fn unreadable(&self, repository: Option<&RepositoryName>, cause: &str) {
        let key = AlertKey::new(AlertKind::UnreadableDelivery, repository);
        let summary = format!("a signed delivery is unreadable and is stored as a dead letter: {cause}");
        let alert = Alert::new(&key, None, &summary, self.clock.now());
        if let Err(failure) = self.raise(alert).await {
            tracing::warn!(%failure, "failed to raise an alert; the dead letter is stored");
        }
    }
}
