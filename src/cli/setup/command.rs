//! Dispatches the subcommands of `setup`.

use super::args::{Args, Command};
use super::pool::Mode;
use super::{app, github, pool, recovery, token_refresh};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `setup`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::App(args) => app::run(&args, session).await,
        Command::Github(args) => github::run(&args, session).await,
        Command::Supervisor(args) => pool::run(&args, Mode::Supervisor, session).await,
        Command::ReconcileTimer(args) => pool::run(&args, Mode::Timer, session).await,
        Command::TokenRefresh(args) => token_refresh::run(&args, session).await,
        Command::Recovery(args) => recovery::run(&args, session).await,
    }
}
