//! `jitgate verify`: checks that trusted jobs can be served.

mod args;
mod github;
mod local;
mod look;
mod report;

pub(super) use args::{Args, run};
