//! The configuration as it is written. Everything here fits the schema and nothing is checked beyond that.

use super::alerts::RawAlerts;
use super::github::RawGithub;
use super::local::RawLocal;
use super::qemu::RawQemu;
use super::repositories::RawRepository;
use super::rollout::RawRollout;
use super::routing::RawRouting;
use super::runners::RawRunners;
use super::server::RawServer;
use super::slo::RawSlo;
use super::store::RawStore;
use super::synthetic::RawSynthetic;
use super::telemetry::RawTelemetry;
use super::trust::RawTrust;
use super::webhook::RawWebhook;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of jitgate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "jitgate.toml")]
pub(super) struct RawConfig {
    /// The two listeners, and where this instance keeps its state.
    pub(super) server: RawServer,
    /// Signatures of deliveries.
    pub(super) webhook: RawWebhook,
    /// How to reach GitHub, and as whom.
    pub(super) github: RawGithub,
    /// The repositories served.
    #[serde(default)]
    pub(super) repositories: Vec<RawRepository>,
    /// Which jobs belong on self-hosted runners.
    pub(super) routing: RawRouting,
    /// Whose pull requests are trusted.
    pub(super) trust: RawTrust,
    /// The durable queue and ledger.
    pub(super) store: RawStore,
    /// The pool of runner environments.
    pub(super) runners: RawRunners,
    /// Runners on this machine.
    pub(super) local: RawLocal,
    /// Runners in virtual machines.
    pub(super) qemu: RawQemu,
    /// Runners that are only pretended.
    pub(super) synthetic: RawSynthetic,
    /// The canary, and what rolls it back.
    pub(super) rollout: RawRollout,
    /// Service level objectives.
    pub(super) slo: RawSlo,
    /// Who is told when something is wrong.
    pub(super) alerts: RawAlerts,
    /// Logs and traces.
    pub(super) telemetry: RawTelemetry,
}
