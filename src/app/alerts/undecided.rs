//! Ends alerts about undecided trust or a stuck job once the job is decided.

use super::store::Alerts;
use crate::app::records::{Entry, JobRecord};
use crate::domain::alert::{AlertKey, AlertKind};
use crate::domain::decision::{Action, Decision};
use crate::domain::event;
use crate::domain::trust::Trust;
use crate::ports::Failure;

impl Alerts {
    /// Ends the alerts about undecided trust and a stuck job that an earlier decision raised, once the job is decided
    /// or over. Without such an alert it does not access the ledger. Must be called before the new decision replaces
    /// the earlier one.
    pub(in crate::app) async fn settle_trust(
        &self,
        record: Option<&JobRecord>,
        decision: &Decision,
    ) -> Result<(), Failure> {
        let over = async |kind| {
            let key = AlertKey::new(kind, Some(&decision.repository));
            self.over(&key, Some(decision.job.id)).await
        };
        let kind = AlertKind::TrustUndecided;
        let was_raised = |entry: &Entry| entry.decision.actions.contains(&Action::Alert(kind));
        let is_settled = decision.trust.verdict != Trust::Unknown || decision.action == event::Action::Completed;
        if is_settled && record.is_some_and(|record| record.decisions.iter().any(was_raised)) {
            over(kind).await?;
        }
        let stuck = AlertKind::JobStuck;
        let was_stuck = record
            .and_then(|record| record.entry(&decision.delivery))
            .is_some_and(|entry| entry.decision.actions.contains(&Action::Alert(stuck)));
        if was_stuck && !decision.actions.contains(&Action::Alert(stuck)) {
            over(stuck).await?;
        }
        Ok(())
    }
}
