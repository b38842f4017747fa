//! The decisions behind an incident, from the records of its jobs.

use crate::app::records::{self, Entry, JobRecord, RolloutRecord};
use crate::domain::alert::AlertKind;
use crate::domain::decision::Action;
use crate::domain::incident::{Incident, JobEvidence};
use crate::domain::rollout::Evidence;
use crate::ports::{Failure, Ledger};
use chrono::TimeDelta;

/// Maximum time between a rollback and its alert.
const REPORT_TIMEOUT: TimeDelta = TimeDelta::seconds(60);

/// Returns the decision that raised the alert for a job, or the newest one if none did.
pub(super) async fn of_job(ledger: &dyn Ledger, kind: AlertKind, job: u64) -> Result<JobEvidence, Failure> {
    let record: Option<JobRecord> = records::load(ledger, &job.to_string()).await?;
    let entries = record.map_or_else(Vec::new, |record| record.decisions);
    let raised = |entry: &&Entry| entry.decision.actions.contains(&Action::Alert(kind));
    let entry = entries.iter().rev().find(raised).or_else(|| entries.last());
    Ok(entry.map_or_else(|| JobEvidence::unknown(job), |entry| (&entry.decision).into()))
}

/// Returns the evidence of the rollback that opened the incident, unless the incident has it or was opened otherwise.
pub(super) async fn of_rollback(ledger: &dyn Ledger, incident: &Incident) -> Result<Option<Evidence>, Failure> {
    if incident.kind != AlertKind::Rollback || !incident.findings.is_empty() {
        return Ok(None);
    }
    let record: Option<RolloutRecord> = records::load(ledger, &incident.repository).await?;
    let rollback = record.and_then(|record| record.rollback);
    let opened = rollback.filter(|rollback| (rollback.at - incident.opened_at).abs() <= REPORT_TIMEOUT);
    Ok(opened.map(|rollback| rollback.cause.evidence))
}

/// Returns all decisions on the jobs of an incident that the ledger still has, oldest first; for a job without them the
/// stored evidence.
///
/// # Errors
/// The failure of the ledger.
pub async fn decisions(ledger: &dyn Ledger, incident: &Incident) -> Result<Vec<JobEvidence>, Failure> {
    let mut found = Vec::new();
    let mut jobs: Vec<u64> = incident.evidence.iter().map(|evidence| evidence.job).collect();
    jobs.extend(&incident.jobs);
    jobs.sort_unstable();
    jobs.dedup();
    for job in jobs {
        let record: Option<JobRecord> = records::load(ledger, &job.to_string()).await?;
        match record.filter(|record| !record.decisions.is_empty()) {
            Some(record) => found.extend(record.decisions.iter().map(|entry| JobEvidence::from(&entry.decision))),
            None => found.extend(incident.evidence.iter().filter(|known| known.job == job).cloned()),
        }
    }
    found.sort_by_key(|evidence| evidence.at);
    Ok(found)
}
