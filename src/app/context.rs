//! The worker's side of jitgate: the ports it acts through and the settings it acts by.

use super::alerts::Alerts;
use super::events::budget::Budget;
use super::events::gather::Recall;
use super::pool::Pool;
use super::records::{self, JobRecord};
use super::settings::Settings;
use crate::domain::ids::JobId;
use crate::ports::{Clock, Failure, GitHub, Ledger, Observer, Queue, RunnerHost};
use std::sync::Arc;

/// Takes deliveries from the queue, decides on them and carries the decisions out.
pub struct Gate {
    /// Where deliveries come from.
    pub queue: Arc<dyn Queue>,
    /// Where the truth is kept.
    pub ledger: Arc<dyn Ledger>,
    /// Who is asked.
    pub github: Arc<dyn GitHub>,
    /// Where runners live; none while this machine has no runner host.
    pub host: Option<Arc<dyn RunnerHost>>,
    /// Who is told.
    pub alerts: Arc<Alerts>,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What the operator chose.
    pub settings: Settings,
    /// GitHub's recent answers.
    pub recall: Recall,
    /// What outsiders have used of GitHub and of this process.
    pub budget: Budget,
    /// What the pool is about.
    pub pool: Pool,
}

impl Gate {
    /// What is known of a job.
    ///
    /// # Errors
    /// The ledger's failure.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRecord>, Failure> {
        records::load(self.ledger.as_ref(), &id.to_string()).await
    }
}
