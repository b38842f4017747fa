//! Dispatches the subcommands of `setup`.

use super::args::{Args, Command};
use super::{app, github};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `setup`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Github(args) => github::run(&args, session).await,
        Command::App(args) => app::run(&args, session).await,
    }
}
