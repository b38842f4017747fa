//! `jitgate setup`: GitHub and this machine, made ready.

mod app;
mod args;
mod command;

pub(super) use args::Args;
pub(super) use command::run;
