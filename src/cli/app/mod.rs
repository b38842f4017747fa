//! `jitgate app`: the GitHub App, its installations and their tokens.

mod account;
mod args;
mod check;
mod cleanup;
mod command;
mod credentials;
mod installation;
mod refresh;
mod refused;
mod token;

pub(super) use args::{Args, STATUS_FILE};
pub(super) use command::run;
pub(super) use refused::refused;
