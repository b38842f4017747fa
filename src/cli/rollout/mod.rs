//! `jitgate rollout`: the canary stages of self-hosted routing.

mod args;
mod change;
mod command;
mod status;

pub(super) use args::Args;
pub(super) use command::run;
