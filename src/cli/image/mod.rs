//! `jitgate image`: the images of virtual machines.

mod args;
mod build;
mod command;
mod list;
mod prune;
mod refused;
mod steps;
mod uses;
mod verify;

pub(super) use args::Args;
pub(super) use command::run;
