//! Dispatches the subcommands of `pool`.

use super::args::{Args, Command};
use super::{reconcile, scale, status, supervise};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `pool`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Scale(args) => {
            let asked = Asked {
                command: "pool scale",
                subject: scale::in_words(&args),
                person: args.person.clone(),
                is_dry: args.dry_run,
            };
            recorded(session, asked, scale::run(&args, session)).await
        }
        Command::Status(args) => status::run(&args, session).await,
        Command::Supervise(args) => supervise::run(&args, session).await,
        Command::Reconcile(args) => reconcile::run(&args, session).await,
    }
}

impl Args {
    /// Reports whether the command is a worker, which logs as configured.
    pub(in crate::cli) fn is_worker(&self) -> bool {
        matches!(self.command, Command::Supervise(_) | Command::Reconcile(_))
    }
}
