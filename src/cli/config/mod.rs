//! `jitgate config`: look at the configuration.

mod args;
mod check;
mod schema;
mod show;

pub(super) use args::{Args, run};
