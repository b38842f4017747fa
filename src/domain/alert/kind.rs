//! The kinds of alerts, with their severity and remedy.

use serde::{Deserialize, Serialize};

macro_rules! alert_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $nature:ident, $advice:literal;)*) => {
        /// The kind of an alert. It is a closed set, because it is a metric label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AlertKind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl AlertKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in records, metrics and commands.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns the severity.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Returns true if the alert reports a state, which can end, and not an incident.
            #[must_use]
            pub fn lasts(self) -> bool {
                match self { $(Self::$name => Nature::$nature == Nature::State,)* }
            }

            /// Returns the remedy.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

#[derive(PartialEq)]
enum Nature {
    State,
    Event,
}

alert_kinds! {
    /// An untrusted job could reach or did reach a self-hosted runner.
    UntrustedOnSelfHosted = "untrusted-on-self-hosted", Critical, Event,
        "see `jitgate why JOB_ID`; cancel its run unless that was done, and require approval for outside contributors";
    /// A trusted job was not routed to self-hosted runners.
    TrustedNotRouted = "trusted-not-routed", Warning, Event,
        "see `jitgate why JOB_ID`, and compare the workflow's routing rule with [trust] and [routing]";
    /// An untrusted job took a runner that was created for another job.
    StolenRunner = "stolen-runner", Critical, Event,
        "see `jitgate why JOB_ID`; find out whether a step of it ran, and treat the host by that";
    /// A workflow uses labels that cannot be intended.
    MisconfiguredLabels = "misconfigured-labels", Warning, Event,
        "correct `runs-on` in the job's workflow";
    /// The trust of a job stays undecided because GitHub does not answer.
    TrustUndecided = "trust-undecided", Warning, State,
        "see GitHub's status page and the limits in /metrics; it is over by itself once GitHub answers";
    /// A job waits longer than it should.
    JobStuck = "job-stuck", Warning, State,
        "see `jitgate why JOB_ID`; it is over by itself once the job is";
    /// A job was lost together with its runner after it had started.
    JobLost = "job-lost", Warning, Event,
        "see `jitgate why JOB_ID` and the log of the runner host; re-run its run, or set rollout.rerun_lost";
    /// A runner did not start.
    RunnerBootFailure = "runner-boot-failure", Warning, State,
        "see the log of the runner host; it is over by itself once a runner comes up";
    /// The slot or GitHub's record of an ended runner could not be removed in time.
    RunnerLeftOver = "runner-left-over", Warning, State,
        "see `jitgate why JOB_ID`: it names what is left and the last failure; it is over by itself once that is removed";
    /// jitgate switched self-hosted routing off.
    Rollback = "rollback", Critical, State,
        "find the cause; when it is removed, switch routing on with `jitgate routing enable --why TEXT`";
    /// A self-hosted runner was not created by jitgate and has no job gate.
    UngatedRunner = "ungated-runner", Warning, State,
        "if it is meant to be there, list it in runners.known; otherwise remove it, or take it out of that runner group";
    /// The automatic refresh of the token is off.
    TokenRefreshDisabled = "token-refresh-disabled", Warning, State,
        "start the timer that refreshes the token";
    /// A delivery was signed with an old webhook secret.
    OldWebhookSecretUsed = "old-webhook-secret-used", Warning, Event,
        "give GitHub's webhook the current secret, then take the old one out of webhook.secrets";
    /// A configured name belongs to a different repository, or a configured repository has a different name.
    RepositoryChanged = "repository-changed", Critical, State,
        "find out who has the name now; renamed or transferred by you, set repositories.full_name to the new name, or run \
         `jitgate repository accept --repo OWNER/NAME --why TEXT`";
    /// This version cannot parse a signed delivery.
    UnreadableDelivery = "unreadable-delivery", Warning, Event,
        "see `jitgate dead-letter list`; once a version that reads them is installed, `jitgate dead-letter retry --all`";
    /// A service level objective is not met.
    SloBreach = "slo-breach", Warning, State,
        "see `jitgate slo`: it names the objectives that are missed and the worst runs, each with its `jitgate why JOB_ID`";
}

/// The severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An operator must look at it today.
    Warning,
    /// An operator must look at it now.
    Critical,
}

impl Severity {
    /// All severities.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// Returns the name used in records, metrics and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
