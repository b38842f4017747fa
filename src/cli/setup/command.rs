//! Dispatches the subcommands of `setup`.

use super::app;
use super::args::{Args, Command};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `setup`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::App(args) => app::run(&args, session).await,
    }
}
