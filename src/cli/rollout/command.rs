//! Dispatches the subcommands of `rollout`.

use super::args::{Args, Command};
use super::change::{self, Step};
use super::{export, simulate, status};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `rollout`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Status(args) => status::run(&args, session).await,
        Command::Advance(args) => change::run(Step::Advance, &args, session).await,
        Command::Hold(args) => change::run(Step::Hold, &args, session).await,
        Command::Resume(args) => change::run(Step::Resume, &args, session).await,
        Command::Simulate(args) => simulate::run(args, session).await,
        Command::Export(args) => export::run(args, session).await,
    }
}
