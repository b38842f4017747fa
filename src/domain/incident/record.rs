//! The stored form of an incident. All texts are inert, and the timeline is bounded.

use super::evidence::JobEvidence;
use super::state::{IncidentEvent, IncidentState};
use crate::domain::alert::{AlertKind, Escalation, Severity, inert};
use crate::domain::rollout::Evidence;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Number of entries in a timeline. Repeats and messages make room first.
const MAX_ENTRIES: usize = 64;
/// Number of jobs whose evidence is kept: the first ones.
const MAX_EVIDENCE: usize = 16;
/// Number of runs or runners of a rollback trigger that are kept: the newest ones.
const MAX_FINDINGS: usize = 20;
const MAX_FINDING_CHARS: usize = 300;
/// Length of an id, in bytes of the digest.
const ID_BYTES: usize = 8;

/// One episode of a critical alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The id used in commands: the beginning of a digest of the alert's id and episode, in hexadecimal.
    pub id: String,
    /// The id of the alert.
    pub alert: String,
    pub episode: u32,
    pub kind: AlertKind,
    pub severity: Severity,
    /// The repository as `owner/name`, or `-`.
    pub repository: String,
    pub verdict: String,
    /// The latest summary of the alert.
    pub summary: String,
    pub state: IncidentState,
    pub count: u64,
    pub opened_at: DateTime<Utc>,
    /// The latest time at which the alert was raised.
    pub last_at: DateTime<Utc>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub acknowledged_by: Option<String>,
    pub escalations: Vec<Escalation>,
    /// The start of the time without a safe routing state.
    pub unsafe_since: DateTime<Utc>,
    pub safe_at: Option<DateTime<Utc>>,
    /// The person or `jitgate`; `None` if routing was switched off at GitHub by an unknown person.
    pub safe_by: Option<String>,
    /// The safe state in words.
    pub safe_how: Option<String>,
    /// The latest time at which routing was seen off.
    pub seen_off_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
    /// The jobs of this episode, the latest ones.
    pub jobs: Vec<u64>,
    pub evidence: Vec<JobEvidence>,
    /// The evidence of the rollback trigger behind the alert, one line for each run or runner.
    #[serde(default)]
    pub findings: Vec<String>,
    /// The events, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// The newest revision of the alert that each sink was recorded to have accepted.
    pub told: BTreeMap<String, u64>,
}

/// An event of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    pub event: Happened,
    /// A sentence fragment for people.
    pub what: String,
    /// The person, or `jitgate`.
    pub by: Option<String>,
}

/// The kind of an entry in the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    Opened,
    Repeated,
    Sent,
    Acknowledged,
    Escalated,
    Safe,
    Unsafe,
    Closed,
}

impl Incident {
    /// Returns the id of the incident of an alert's episode.
    #[must_use]
    pub fn id_of(alert: &str, episode: u32) -> String {
        let digest = Sha256::digest(format!("{alert}/{episode}"));
        hex::encode(digest.get(..ID_BYTES).unwrap_or_default())
    }

    /// Returns the id of the record in the ledger. A list of these ids in ascending order begins with the newest
    /// incident.
    #[must_use]
    pub fn key_of(alert: &str, episode: u32, opened_at: DateTime<Utc>) -> String {
        let age = u64::MAX - opened_at.timestamp_millis().unsigned_abs();
        format!("{age:020}-{}", Self::id_of(alert, episode))
    }

    /// Returns the id of this record in the ledger.
    #[must_use]
    pub fn key(&self) -> String {
        Self::key_of(&self.alert, self.episode, self.opened_at)
    }

    /// Returns the incident in the form of lists: without timeline and evidence.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "id": self.id,
            "alert": self.alert,
            "kind": self.kind,
            "severity": self.severity,
            "repository": self.repository,
            "verdict": self.verdict,
            "summary": self.summary,
            "state": self.state,
            "count": self.count,
            "opened_at": self.opened_at,
            "acknowledged_at": self.acknowledged_at,
            "acknowledged_by": self.acknowledged_by,
            "escalations": self.escalations,
            "safe_at": self.safe_at,
            "safe_by": self.safe_by,
            "closed_at": self.closed_at,
            "closed_by": self.closed_by,
        })
    }

    /// Applies an event. Returns false if it changes nothing in this state.
    pub(super) fn apply(&mut self, event: IncidentEvent) -> bool {
        let next = self.state.after(event);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    /// Adds an entry to the timeline. Repeats in a row are one entry.
    pub(super) fn note(&mut self, entry: TimelineEntry) {
        if entry.event == Happened::Repeated {
            self.timeline.pop_if(|last| last.event == Happened::Repeated);
        }
        self.timeline.push(entry);
        self.timeline.sort_by_key(|entry| entry.at);
        if self.timeline.len() > MAX_ENTRIES {
            let is_minor = |entry: &TimelineEntry| matches!(entry.event, Happened::Repeated | Happened::Sent);
            let at = self.timeline.iter().position(is_minor).unwrap_or(1);
            self.timeline.remove(at);
        }
    }

    /// Returns the jobs without evidence, as far as there is room for it.
    #[must_use]
    pub fn jobs_without_evidence(&self) -> Vec<u64> {
        let is_missing = |job: &&u64| !self.evidence.iter().any(|known| known.job == **job);
        let room = MAX_EVIDENCE.saturating_sub(self.evidence.len());
        self.jobs.iter().filter(is_missing).take(room).copied().collect()
    }

    /// Adds the evidence of the rollback that the incident reports, once.
    pub fn add_findings(&mut self, evidence: &Evidence) {
        if !self.findings.is_empty() {
            return;
        }
        self.findings.push(inert(&evidence.summary, MAX_FINDING_CHARS));
        for item in evidence.items.iter().take(MAX_FINDINGS) {
            let part = |name: &str, id: Option<u64>| id.map(|id| format!("{name} {id}"));
            let about = [
                part("pull request", item.pull_request),
                part("run", item.run.map(|run| run.0)),
                part("job", item.job.map(|job| job.0)),
                Some(item.detail.clone()).filter(|detail| !detail.is_empty()),
            ];
            let line: Vec<String> = about.into_iter().flatten().collect();
            self.findings.push(inert(&line.join(", "), MAX_FINDING_CHARS));
        }
    }

    /// Adds the evidence about a job, once.
    pub fn add_evidence(&mut self, evidence: JobEvidence) {
        if self.evidence.len() < MAX_EVIDENCE && !self.evidence.iter().any(|known| known.job == evidence.job) {
            self.evidence.push(evidence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{Alert, AlertKey};
    use crate::domain::ids::JobId;
    use chrono::TimeDelta;

    fn incident(second: i64) -> Incident {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let key = AlertKey::new(AlertKind::StolenRunner, None);
        Incident::open(&Alert::new(&key, Some(JobId(1)), "it happened", at))
    }

    #[test]
    fn the_newest_incident_is_listed_first_and_a_stored_key_stays() {
        assert!(incident(9).key() < incident(8).key());
        assert_eq!(incident(8).id, "ef6d693a49e22eb6");
        assert_eq!(incident(8).key(), "18446744073709543615-ef6d693a49e22eb6");
        assert_ne!(
            Incident::id_of("72e70590e0658a66", 1),
            Incident::id_of("72e70590e0658a66", 2)
        );
    }

    #[test]
    fn the_timeline_is_bounded_and_keeps_what_matters() {
        let mut incident = incident(0);
        let entry = |event, second| TimelineEntry {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            event,
            what: "it happened".to_owned(),
            by: None,
        };
        incident.note(entry(Happened::Escalated, 1));
        for second in 2..500 {
            incident.note(entry(Happened::Sent, 2 * second));
            incident.note(entry(Happened::Repeated, 2 * second + 1));
        }
        assert_eq!(incident.timeline.len(), MAX_ENTRIES);
        let first: Vec<Happened> = incident.timeline.iter().map(|entry| entry.event).take(2).collect();
        assert_eq!(first, [Happened::Opened, Happened::Escalated]);
        incident.note(entry(Happened::Repeated, 2000));
        let last = incident.timeline.last().map(|entry| entry.at.timestamp());
        assert_eq!(
            (last, incident.timeline.len()),
            (Some(2000), MAX_ENTRIES),
            "repeats in a row are one"
        );
    }

    #[test]
    fn evidence_is_bounded_and_taken_once() {
        let mut incident = incident(0);
        incident.jobs = (1..=40).collect();
        for _ in 0..2 {
            for job in incident.jobs_without_evidence() {
                incident.add_evidence(JobEvidence::unknown(job));
            }
        }
        assert_eq!(incident.evidence.len(), MAX_EVIDENCE);
        incident.add_evidence(JobEvidence::unknown(40));
        assert_eq!(incident.evidence.len(), MAX_EVIDENCE);
    }
}
