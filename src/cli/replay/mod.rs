//! `jitgate replay`: recorded events through the real ingress, against what is expected of them.
//!
//! A fixture is a world, the deliveries GitHub would send from it, and what jitgate should make of each. Every delivery is
//! signed and posted to a gate: one inside this process (memory store, simulated GitHub, synthetic runners), or a running
//! one whose GitHub is a simulated one.

mod command;
mod expect;
mod fixture;
mod local;
mod play;
mod report;
mod target;

pub(super) use command::{Args, run};
