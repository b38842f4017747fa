//! `jitgate setup`: one command for each part of an installation.

mod alert;
mod app_key;
mod args;
mod command;
mod install;
mod machine;
mod perform;
mod pool;
mod recovery;
mod report;
mod task;
mod token_refresh;

pub(super) use args::Args;
pub(super) use command::run;
