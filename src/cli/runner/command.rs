//! Dispatches the subcommands of `runner`.

use super::args::{Args, Command};
use super::{health, list, one_job, recover, register};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `runner`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List(args) => list::run(args, session).await,
        Command::Run(args) => one_job::run(&args, session).await,
        Command::Register(args) => register::run(&args, session).await,
        Command::Health(args) => health::run(&args, session).await,
        Command::Recover(args) => recover::run(args, session).await,
    }
}
