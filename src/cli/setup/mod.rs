//! `jitgate setup`: one-time preparation of GitHub and of this machine.

mod app;
mod args;
mod command;
mod github;

pub(super) use args::Args;
pub(super) use command::run;
