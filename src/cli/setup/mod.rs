//! `jitgate setup`: one-time preparation of GitHub and of this machine, one command for each part.

mod alert;
mod app;
mod app_key;
mod args;
mod command;
mod github;
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
