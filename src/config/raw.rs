//! The configuration as written in a file. The values fit the schema, and nothing else is checked.

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
    /// The two listeners and the state directory.
    pub(super) server: RawServer,
    /// Signatures of deliveries.
    pub(super) webhook: RawWebhook,
    /// The address of GitHub and the credentials.
    pub(super) github: RawGithub,
    /// The served repositories.
    #[serde(default)]
    pub(super) repositories: Vec<RawRepository>,
    /// The jobs that belong on self-hosted runners.
    pub(super) routing: RawRouting,
    /// The rules for trusted pull requests.
    pub(super) trust: RawTrust,
    /// The durable queue and ledger.
    pub(super) store: RawStore,
    /// The pool of runners.
    pub(super) runners: RawRunners,
    /// Runners on this machine.
    pub(super) local: RawLocal,
    /// Runners in virtual machines.
    pub(super) qemu: RawQemu,
    /// Simulated runners.
    pub(super) synthetic: RawSynthetic,
    /// The canary and its rollback triggers.
    pub(super) rollout: RawRollout,
    /// Service level objectives.
    pub(super) slo: RawSlo,
    /// The receivers of alerts.
    pub(super) alerts: RawAlerts,
    /// Logs and traces.
    pub(super) telemetry: RawTelemetry,
}
