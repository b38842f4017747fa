//! That trust was undecided for too long, or a trusted job not admitted, is over once it is decided.

use super::store::Alerts;
use crate::app::records::{Entry, JobRecord};
use crate::domain::alert::{AlertKey, AlertKind};
use crate::domain::decision::{Action, Decision};
use crate::domain::event;
use crate::domain::trust::Trust;
use crate::ports::Failure;

impl Alerts {
    /// Ends what an earlier decision on the job raised as undecided or stuck, once it is decided or the job is over. Asks the
    /// ledger nothing where that never happened. To be called before the new decision takes the place of the earlier one.
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
