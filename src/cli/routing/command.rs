//! Dispatches the subcommands of `routing`.

use super::args::{Args, Command};
use super::{change, guard, status};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `routing`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Status(args) => status::run(&args, session).await,
        Command::Enable(args) => change::enable(&args, session).await,
        Command::Disable(args) => change::disable(&args, session).await,
        Command::Guard(args) => guard::run(&args, session).await,
    }
}
