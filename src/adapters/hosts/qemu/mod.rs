//! Runners in virtual machines: one machine of QEMU for each slot, destroyed with it and never used twice.
//!
//! ```text
//!  gate ── order ──> keeper ── bwrap ──> QEMU ══ channel (virtio-serial) ══ agent: `jitgate internal guest` ──> runner program
//!                      └─ monitor: resume                                     └ job gate of the guest <── worker, hook
//! ```
//!
//! Slots resume from a template, a machine that was booted once and saved, and boot where that fails.

mod accelerator;
pub(crate) mod agent;
mod base;
mod channel;
mod command;
mod console;
mod description;
mod disk;
mod guest;
mod host;
mod image;
mod inspection;
mod kept;
mod machine;
mod plan;
mod qmp;
mod running;
mod settings;
mod template;

pub use channel::Channel;
pub(crate) use guest::keep;
pub(crate) use host::NAME;
pub use host::QemuHost;
pub use inspection::inspect;
pub use settings::Settings;
