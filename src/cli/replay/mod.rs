//! `jitgate replay`: sends recorded events through the real ingress and compares the results with the expectations.
//!
//! A fixture contains a world, the deliveries that GitHub would send from it, and the expected results. Each delivery is
//! signed and posted to jitgate: one inside this process (memory store, simulated GitHub, synthetic runners), or a running
//! one with a simulated GitHub.

mod command;
mod episode;
mod expect;
mod expected;
mod fixture;
mod history;
mod local;
mod play;
mod report;
mod target;

pub(super) use command::{Args, run};
