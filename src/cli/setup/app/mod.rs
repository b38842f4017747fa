//! `jitgate setup app`: an App from a manifest.

mod args;
mod browser;
mod command;
mod create;
mod files;
mod hook;
mod repair;

pub(super) use args::AppSetup;
pub(super) use command::run;
