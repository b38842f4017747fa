//! `jitgate routing`: the variable that switches self-hosted routing on and off.

mod args;
mod change;
mod command;
mod guard;
mod hard;
mod place;
mod status;

pub(super) use args::Args;
pub(super) use command::run;
