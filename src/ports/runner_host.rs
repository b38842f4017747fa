//! Where runners live: environments ("slots") that are booted unregistered, claimed for one runner, and destroyed.
//!
//! ```text
//!  boot ──> booting ──> ready ──claim──> claimed ──the hook calls──> at gate ──open_gate──> open
//!               └─────────┴───────────────┴─────────────────────────────┴────────────────────┴──> ended
//! ```
//!
//! What every host promises:
//! * [`RunnerHost::list`] is the truth, also after the gate was killed and started again. [`RunnerHost::changed`] only
//!   wakes: an event that gets lost costs time and nothing else.
//! * A slot is used once. Whatever state it is in, [`RunnerHost::destroy`] ends every process in it and removes its disk
//!   before it returns, and the slot is no longer listed then.
//! * No step of a job runs before [`RunnerHost::open_gate`]. A host that gets no answer in time kills the environment by
//!   itself, also when the gate is not there to tell it, and so it does when a job takes too long.
//! * What comes out of an environment is a claim of the guest: it says where to look, never what is true.

use super::Failure;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// An environment for one job: booted, not registered anywhere, used at most once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub String);

/// A slot as the host lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its id; survives a restart of the gate.
    pub id: SlotId,
    /// Name of the runner it was claimed for; none before.
    pub runner: Option<String>,
    /// Where it stands.
    pub state: SlotState,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Where a slot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotState {
    /// Not up yet.
    Booting,
    /// Waits to be claimed; nobody outside knows of it.
    Ready,
    /// The runner program was started in it, and its job gate was not reached.
    Claimed,
    /// A job is about to begin in it and waits for an answer.
    AtGate(Hello),
    /// The job was let through.
    Open,
    /// Nothing runs in it any more; it waits to be destroyed.
    Ended(Ending),
}

/// What the hook of a job says at the gate, in the words of the runner's environment. A hostile guest can say anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// `GITHUB_REPOSITORY`.
    pub repository: Option<String>,
    /// `GITHUB_RUN_ID`.
    pub run_id: Option<u64>,
    /// `GITHUB_RUN_ATTEMPT`.
    pub run_attempt: Option<u32>,
}

/// Why nothing runs in a slot any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It never came up.
    BootFailed(String),
    /// The runner program ended by itself.
    Exited,
    /// Nobody answered at the gate in `gate_deadline_s`, and the host killed it.
    GateUnanswered,
    /// What was said at the gate made no sense, and the host killed it.
    GateAbused,
    /// It took longer than `job_deadline_s`, and the host killed it.
    TooLong,
    /// It filled more disk than it may, and the host killed it.
    DiskFull,
    /// It is gone without a word: killed from outside, or with the machine.
    Lost,
}

/// A host of runner environments.
#[async_trait]
pub trait RunnerHost: Send + Sync + 'static {
    /// Begins to boot a fresh environment; [`RunnerHost::list`] tells when it is ready.
    async fn boot(&self) -> Result<SlotId, Failure>;

    /// Starts the runner program in a ready slot with a configuration that is handed over and forgotten.
    /// [`Failure::Permanent`] for a slot that is not ready or is gone.
    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure>;

    /// Lets the job at the gate of this slot begin. [`Failure::Permanent`] when none waits there.
    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure>;

    /// Destroys an environment and all that is in it. Nothing to destroy is no failure.
    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure>;

    /// Every environment of this instance on this host that still exists.
    async fn list(&self) -> Result<Vec<Slot>, Failure>;

    /// Returns once something may have changed since this was last called.
    async fn changed(&self);
}
