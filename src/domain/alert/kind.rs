//! What alerts are about: kinds, how urgent each is, and what to do about it.

use serde::{Deserialize, Serialize};

macro_rules! alert_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $nature:ident, $advice:literal;)*) => {
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

            /// Whether it tells of a state, which can end, rather than of something that happened.
            #[must_use]
            pub fn lasts(self) -> bool {
                match self { $(Self::$name => Nature::$nature == Nature::State,)* }
            }

            /// What to do about it.
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
    /// An untrusted job could reach, or reached, a self-hosted runner.
    UntrustedOnSelfHosted = "untrusted-on-self-hosted", Critical, Event,
        "see `jitgate why JOB_ID`; cancel its run unless that was done, and require approval for outside contributors";
    /// A trusted job was not routed to self-hosted runners.
    TrustedNotRouted = "trusted-not-routed", Warning, Event,
        "see `jitgate why JOB_ID`, and compare the workflow's routing rule with [trust] and [routing]";
    /// A job took a runner that was made for another and had no right to it.
    StolenRunner = "stolen-runner", Critical, Event,
        "see `jitgate why JOB_ID`; find out whether a step of it ran, and treat the host by that";
    /// Labels nobody meant.
    MisconfiguredLabels = "misconfigured-labels", Warning, Event,
        "correct `runs-on` in the job's workflow";
    /// GitHub leaves a job's trust undecided.
    TrustUndecided = "trust-undecided", Warning, State,
        "see GitHub's status page and the limits in /metrics; it is over by itself once GitHub answers";
    /// A job waits though it should not.
    JobStuck = "job-stuck", Warning, State,
        "see `jitgate why JOB_ID`; it is over by itself once the job is";
    /// A runner did not come up.
    RunnerBootFailure = "runner-boot-failure", Warning, State,
        "see the log of the runner host; it is over by itself once a runner comes up";
    /// Self-hosted routing was switched off.
    Rollback = "rollback", Critical, State,
        "find the cause, then set the routing variable to true again";
    /// A self-hosted runner that jitgate did not make, so that it has no job gate.
    UngatedRunner = "ungated-runner", Warning, State,
        "if it is meant to be there, list it in runners.known; otherwise remove it, or take it out of that runner group";
    /// Automated token refresh is off.
    TokenRefreshDisabled = "token-refresh-disabled", Warning, State,
        "start the timer that refreshes the token";
    /// A delivery was signed with a secret on its way out.
    OldWebhookSecretUsed = "old-webhook-secret-used", Warning, Event,
        "give GitHub's webhook the current secret, then take the old one out of webhook.secrets";
    /// A configured name means another repository, or a configured repository has another name.
    RepositoryChanged = "repository-changed", Critical, State,
        "find out who has the name now; renamed or transferred by you, set repositories.full_name to the new name, or run \
         `jitgate repository accept --repo OWNER/NAME --why TEXT`";
    /// A signed delivery that this version cannot read.
    UnreadableDelivery = "unreadable-delivery", Warning, Event,
        "see `jitgate dead-letter list`; once a version that reads them is installed, `jitgate dead-letter retry --all`";
    /// A service level objective is missed.
    SloBreach = "slo-breach", Warning, State,
        "see which objective is missed, and what was slow or failed";
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

impl Severity {
    /// Every severity there is.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// The word used in records, metrics and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
