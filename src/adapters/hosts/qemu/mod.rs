//! Runners in virtual machines: for each job a slot, and a machine of its own by QEMU.

pub(crate) mod agent;
mod channel;

pub use channel::Channel;
