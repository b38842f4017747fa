//! The record of an incident.

use super::access::Record;
use crate::domain::incident::{Incident, IncidentState};
use crate::ports::ledger::{Keep, Kind};
use std::time::Duration;

/// Retention of a closed incident that the design did not contain. Outsiders cause contained ones without effort, and
/// these are kept as long as other records.
const RETENTION_OF_INCIDENTS: Duration = Duration::from_secs(90 * 24 * 3600);

impl Record for Incident {
    const KIND: Kind = Kind::Incident;
    fn is_unfinished(&self) -> bool {
        self.state != IncidentState::Closed
    }

    fn keep(&self, retention: Duration) -> Keep {
        match (self.is_unfinished(), self.is_contained()) {
            (true, _) => Keep::Forever,
            (false, true) => Keep::For(retention),
            (false, false) => Keep::For(retention.max(RETENTION_OF_INCIDENTS)),
        }
    }
}
