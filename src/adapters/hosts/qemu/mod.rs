//! Runners in virtual machines: one machine of QEMU for each slot, destroyed with it and never used twice.
//!
//! ```text
//!  host ── order ──> keeper ── bwrap ──> QEMU ══ channel (virtio-serial) ══ agent: `jitgate internal guest` ──> runner program
//!                      └─ monitor: resume                                     └ job gate of the guest <── worker, hook
//! ```
//!
//! Slots resume from a template, a machine that was booted once and saved, and boot where that fails.
//!
//! The worker's process has `host`, which gets the plan of each slot from `base`: its image, accelerator, disk and template.
//! The keeper's process has `guest`, which starts a `running` machine by its `command` and speaks with it over `channel` and
//! `qmp`. The machine has `agent`. `kept` keeps the disks of failed machines, and `inspection` reports what is missing.

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
pub use host::QemuHost;
pub use image::images_of_slots;
pub use inspection::inspect;
pub(crate) use settings::NAME;
pub use settings::Settings;
