//! Runners on this machine: for each job a slot, and processes and mounts of its own by bubblewrap.

mod copying;
mod disk;
mod host;
mod inspection;
mod launch;
mod preparation;
mod sandbox;
mod seccomp;
mod settings;

pub use host::LocalHost;
pub use inspection::inspect;
pub(crate) use launch::keep;
pub use settings::Settings;
