//! The hosts of runners, each behind the same port. `slots` is what those share that keep slots in folders of this machine.

pub mod local;
pub mod qemu;
pub(crate) mod slots;
pub mod synthetic;
