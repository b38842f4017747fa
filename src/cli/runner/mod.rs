//! `jitgate runner`: jitgate's runners, and the operator's own ones.

mod args;
mod command;
mod list;
mod one_job;
mod target;

pub(super) use args::Args;
pub(super) use command::run;
