//! Dispatches the subcommands of `changes`.

use super::args::{Args, Command};
use super::list;
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `changes`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    let Command::List(args) = args.command;
    list::run(&args, session).await
}
