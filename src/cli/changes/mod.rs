//! `jitgate changes`, and the record that every changing command leaves.

mod args;
mod command;
mod journals;
mod list;
mod recorded;

pub(super) use args::Args;
pub(super) use command::run;
pub(super) use recorded::{Asked, recorded};
