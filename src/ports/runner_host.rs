//! The host of runners: it boots slots, starts a runner in each, and destroys them.
//!
//! Every host promises:
//! * [`RunnerHost::list`] is the truth, even after jitgate was killed and started again. [`RunnerHost::changed`] is only a
//!   wake-up: a lost event costs time and nothing else.
//! * A slot is used once. In any state, [`RunnerHost::destroy`] ends every process in it and removes its disk before it
//!   returns, and the slot is not listed after that.
//! * No step of a job runs before [`RunnerHost::open_gate`]. A host kills a slot by itself when the job gate gets no answer in
//!   time or the job takes too long, even while jitgate does not run.
//! * A message from inside a slot is a claim of the guest: it says where to look, never what is true.

use super::Failure;
use crate::domain::slot::{KeptDisk, Remains, Slot, SlotId, SlotSize};
use async_trait::async_trait;
use secrecy::SecretString;

/// A host of runners.
#[async_trait]
pub trait RunnerHost: Send + Sync + 'static {
    /// Starts to boot a new slot of a size. [`RunnerHost::list`] shows when it is ready. Returns [`Failure::Permanent`] for a size
    /// that the host does not have.
    async fn boot(&self, size: SlotSize) -> Result<SlotId, Failure>;

    /// Starts the runner program in a ready slot, with a JIT configuration that the host does not keep. Returns
    /// [`Failure::Permanent`] for a slot that is not ready or does not exist.
    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure>;

    /// Lets the job at the gate of this slot begin. Returns [`Failure::Permanent`] when no job waits there.
    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure>;

    /// Destroys a slot and everything in it. A slot that does not exist is not an error.
    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure>;

    /// Returns the part of a destroyed slot that is left on the disks of this host. It looks, and does not infer the answer from
    /// the success of [`RunnerHost::destroy`].
    async fn remains(&self, slot: &SlotId) -> Result<Remains, Failure>;

    /// Returns the disks of failed slots that are kept for inspection, after the removal of those whose time is over.
    async fn kept_disks(&self) -> Result<Vec<KeptDisk>, Failure> {
        Ok(Vec::new())
    }

    /// Returns every slot of this instance that exists on this host.
    async fn list(&self) -> Result<Vec<Slot>, Failure>;

    /// Returns once a slot may have changed since the last call.
    async fn changed(&self);

    /// Returns the number of slots of this process that booted because they could not resume; none on a host whose slots
    /// never resume.
    fn resume_failures(&self) -> Option<u64> {
        None
    }
}
