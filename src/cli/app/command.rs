//! Dispatches the subcommands of `app`.

use super::args::{Args, Command};
use super::{check, cleanup, installation, refresh, token};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `app`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Check(args) => check::run(&args, session).await,
        Command::InstallationId(args) => installation::run(&args, session).await,
        Command::Token(args) => token::run(&args, session).await,
        Command::RefreshToken(args) => refresh::run(&args, session).await,
        Command::Cleanup(args) => cleanup::run(&args, session),
    }
}
