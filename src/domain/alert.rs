//! Alerts: what an operator is told of, and by which key repeats are folded together.

use super::decision::Decision;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

macro_rules! alert_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)*) => {
        /// What an alert is about. A closed set: it becomes a metric label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AlertKind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl AlertKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in records, metrics and commands.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How urgent it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

alert_kinds! {
    /// An untrusted job could reach, or reached, a self-hosted runner.
    UntrustedOnSelfHosted = "untrusted-on-self-hosted", Critical;
    /// A trusted job was not routed to self-hosted runners.
    TrustedNotRouted = "trusted-not-routed", Warning;
    /// A job took a runner that was made for another and had no right to it.
    StolenRunner = "stolen-runner", Critical;
    /// Labels nobody meant.
    MisconfiguredLabels = "misconfigured-labels", Warning;
    /// GitHub leaves a job's trust undecided.
    TrustUndecided = "trust-undecided", Warning;
    /// A job waits though it should not.
    JobStuck = "job-stuck", Warning;
    /// A runner did not come up.
    RunnerBootFailure = "runner-boot-failure", Warning;
    /// Self-hosted routing was switched off.
    Rollback = "rollback", Critical;
    /// A runner without a job gate.
    UngatedRunner = "ungated-runner", Warning;
    /// Automated token refresh is off.
    TokenRefreshDisabled = "token-refresh-disabled", Warning;
    /// A delivery was signed with a secret on its way out.
    OldWebhookSecretUsed = "old-webhook-secret-used", Warning;
    /// A service level objective is missed.
    SloBreach = "slo-breach", Warning;
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

/// Jobs an alert remembers.
const JOBS_REMEMBERED: usize = 64;

/// An alert as it is stored. Repeats raise `count`; they make no second alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The key that repeats share.
    pub key: String,
    /// What it is about.
    pub kind: AlertKind,
    /// How urgent it is.
    pub severity: Severity,
    /// The repository, `owner/name`.
    pub repository: String,
    /// The routing verdict behind it.
    pub verdict: String,
    /// One sentence for a person.
    pub summary: String,
    /// How many jobs it stands for.
    pub count: u64,
    /// The latest job.
    pub job_id: u64,
    /// The latest jobs it was raised for, so that none counts twice.
    pub jobs: Vec<u64>,
    /// When it was first raised.
    pub first_at: DateTime<Utc>,
    /// When it was last raised.
    pub last_at: DateTime<Utc>,
}

impl Alert {
    /// The alert of one kind that a decision raises. Repeats fold by repository, kind, verdict and the person behind.
    #[must_use]
    pub fn of(kind: AlertKind, decision: &Decision) -> Self {
        let verdict = decision.routing.verdict.as_str();
        let who = decision.author.as_deref().unwrap_or("-");
        Self {
            key: format!("{}/{}/{verdict}/{who}", decision.repository, kind.as_str()),
            kind,
            severity: kind.severity(),
            repository: decision.repository.to_string(),
            verdict: verdict.to_owned(),
            summary: summary(kind, decision),
            count: 1,
            job_id: decision.job.id.0,
            jobs: vec![decision.job.id.0],
            first_at: decision.decided_at,
            last_at: decision.decided_at,
        }
    }

    /// This alert, raised once more.
    #[must_use]
    pub fn raised_again(mut self, by: &Self) -> Self {
        if !self.jobs.contains(&by.job_id) {
            self.count += 1;
            self.jobs.push(by.job_id);
            let surplus = self.jobs.len().saturating_sub(JOBS_REMEMBERED);
            self.jobs.drain(..surplus);
        }
        self.job_id = by.job_id;
        self.last_at = self.last_at.max(by.last_at);
        self.summary.clone_from(&by.summary);
        self
    }
}

fn summary(kind: AlertKind, decision: &Decision) -> String {
    let job = decision.job.id;
    let reasons = decision.trust.reasons.join(", ");
    match kind {
        AlertKind::UntrustedOnSelfHosted => {
            format!("job {job} is not trusted ({reasons}) and asked for a self-hosted runner")
        }
        AlertKind::TrustedNotRouted => format!("job {job} is trusted and was not routed to self-hosted runners"),
        AlertKind::StolenRunner => format!("job {job} took a runner that was not made for it"),
        AlertKind::MisconfiguredLabels => {
            format!("job {job} has labels that no runner here is meant to serve")
        }
        AlertKind::TrustUndecided => format!("GitHub leaves the trust of job {job} undecided ({reasons})"),
        AlertKind::Rollback => format!("self-hosted routing was switched off because of job {job}"),
        other => format!("{} at job {job}", other.as_str()),
    }
}
