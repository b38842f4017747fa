//! The evidence of an incident: the decision that raised the alert for a job. It outlives the job's own record.

use crate::domain::alert::{MAX_NAME_CHARS, inert};
use crate::domain::decision::Decision;
use crate::domain::reason;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A decision on a job, as inert text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobEvidence {
    pub job: u64,
    /// The time of the decision; `None` if the ledger has no record of the job.
    pub at: Option<DateTime<Utc>>,
    pub run: Option<u64>,
    pub attempt: Option<u32>,
    pub name: String,
    pub head_sha: String,
    pub pull_request: Option<u64>,
    pub author: Option<String>,
    /// The event of the job.
    pub event: String,
    pub trust: String,
    pub routing: String,
    pub admission: String,
    pub actions: Vec<String>,
    /// The explanations of the reasons.
    pub because: Vec<String>,
}

impl JobEvidence {
    /// Returns the evidence about a job whose decisions are not in the ledger.
    #[must_use]
    pub fn unknown(job: u64) -> Self {
        Self { job, ..Self::default() }
    }
}

impl From<&Decision> for JobEvidence {
    fn from(decision: &Decision) -> Self {
        let (job, trust, admission) = (&decision.job, &decision.trust, &decision.admission);
        let with = |verdict: &str, reasons: &[reason::Reason]| match reasons {
            [] => verdict.to_owned(),
            reasons => format!("{verdict} ({})", reason::join(reasons)),
        };
        let explained = decision.reasons().into_iter().filter_map(|reason| {
            let explanation = reason.explanation()?;
            Some(short(&format!("{reason}: {explanation}")))
        });
        Self {
            job: job.id.0,
            at: Some(decision.decided_at),
            run: Some(job.run_id.0),
            attempt: Some(job.run_attempt),
            name: short(&job.name),
            head_sha: short(&job.head_sha),
            pull_request: trust.pull_request,
            author: decision.author.as_deref().map(short),
            event: decision.action.as_str().to_owned(),
            trust: inert(&with(trust.verdict.as_str(), &trust.reasons), 2 * MAX_NAME_CHARS),
            routing: decision.routing.verdict.as_str().to_owned(),
            admission: inert(
                &with(admission.verdict.as_str(), &admission.reasons),
                2 * MAX_NAME_CHARS,
            ),
            actions: decision.actions.iter().map(ToString::to_string).collect(),
            because: explained.collect(),
        }
    }
}

fn short(text: &str) -> String {
    inert(text, 2 * MAX_NAME_CHARS)
}
