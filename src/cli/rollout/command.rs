//! Dispatches the subcommands of `rollout`.

use super::args::{Args, Change, Command};
use super::change::{self, Step};
use super::{export, simulate, status};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `rollout`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Status(args) => status::run(&args, session).await,
        Command::Advance(args) => take(Step::Advance, "rollout advance", &args, session).await,
        Command::Hold(args) => take(Step::Hold, "rollout hold", &args, session).await,
        Command::Resume(args) => take(Step::Resume, "rollout resume", &args, session).await,
        Command::Simulate(args) => simulate::run(args, session).await,
        Command::Export(args) => export::run(args, session).await,
    }
}

async fn take(step: Step, command: &'static str, args: &Change, session: &Session) -> Outcome {
    let asked = Asked {
        command,
        subject: args.which.subject(session),
        person: args.person.person(),
        is_dry: args.dry_run,
    };
    recorded(session, asked, change::run(step, args, session)).await
}
