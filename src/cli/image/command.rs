//! Dispatches the subcommands of `image`.

use super::args::{Args, Command};
use super::{build, list, prune, verify};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `image`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Build(args) => build::run(&args, session).await,
        Command::Verify(args) => verify::run(&args, session).await,
        Command::List(args) => list::run(&args, session),
        Command::Prune(args) => prune::run(&args, session),
    }
}
