//! The command line: one file per command, exit codes and output in one place each.
//!
//! Data goes to stdout, everything else to stderr. Commands return an [`exit::Exit`] or an [`exit::Failure`] and never
//! end the process themselves.

mod alert;
mod app;
mod args;
mod config;
mod credentials;
mod dead_letter;
mod delivery;
mod entry;
mod exit;
mod findings;
mod global;
mod image;
mod incident;
mod internal;
mod jit;
mod list;
mod logging;
mod one_repository;
mod output;
mod person;
mod pool;
mod pool_lock;
mod reload;
mod replay;
mod repository;
mod rollout;
mod routing;
mod runner;
mod serve;
mod session;
mod setup;
mod signals;
mod simulate;
mod slo;
mod sources;
mod table;
mod verify;
mod why;

pub use args::Cli;
pub use entry::main;
pub use exit::{Exit, Failure, Outcome};
