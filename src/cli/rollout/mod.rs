//! `jitgate rollout`: the canary stages of self-hosted routing.

mod args;
mod change;
mod command;
mod export;
mod history_file;
mod recording;
mod simulate;
mod status;

pub(super) use args::Args;
pub(super) use command::run;
