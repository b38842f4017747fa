//! Dispatches the subcommands of `app`.

use super::args::{Args, Command};
use super::{check, cleanup, installation, refresh, token};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `app`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Check(args) => check::run(&args, session).await,
        Command::InstallationId(args) => installation::run(&args, session).await,
        Command::Token(args) => token::run(&args, session).await,
        Command::RefreshToken(args) => {
            let asked = Asked {
                command: "app refresh-token",
                subject: args.token_file.display().to_string(),
                person: args.person.clone(),
                is_dry: args.dry_run,
            };
            recorded(session, asked, refresh::run(&args, session)).await
        }
        Command::Cleanup(args) => {
            let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
            let asked = Asked {
                command: "app cleanup",
                subject: Asked::of_many(&paths),
                person: args.person.clone(),
                is_dry: args.dry_run,
            };
            recorded(session, asked, async { cleanup::run(&args, session) }).await
        }
    }
}
