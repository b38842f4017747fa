//! `jitgate verify`: whether everything is there to serve trusted jobs.

mod args;
mod look;
mod report;

pub(super) use args::{Args, run};
