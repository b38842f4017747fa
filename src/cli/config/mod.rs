//! `jitgate config`: validates and shows the configuration.

mod args;
mod check;
mod schema;
mod show;

pub(super) use args::{Args, run};
