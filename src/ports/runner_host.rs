//! Where runners live: slots that are booted unregistered, claimed once, and destroyed.

use super::Failure;
use async_trait::async_trait;
use secrecy::SecretString;

/// An environment for one job: booted, not registered anywhere, used at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub String);

/// A slot as the host lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its id.
    pub id: SlotId,
    /// Name of the runner it was claimed for; none while it waits.
    pub runner: Option<String>,
}

/// A host of runner environments.
#[async_trait]
pub trait RunnerHost: Send + Sync + 'static {
    /// Boots a fresh environment.
    async fn boot(&self) -> Result<SlotId, Failure>;

    /// Starts the runner in it with a configuration that is handed over and forgotten.
    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure>;

    /// Destroys an environment and all that is in it. Nothing to destroy is no failure.
    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure>;

    /// Every environment of this host that still exists.
    async fn list(&self) -> Result<Vec<Slot>, Failure>;
}
