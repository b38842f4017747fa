//! Dispatches the subcommands of `image`.

use super::args::{Args, Command};
use super::{build, list, prune, verify};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;

/// Runs `image`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Build(args) => {
            let asked = Asked {
                command: "image build",
                subject: args.runner.display().to_string(),
                person: args.person.clone(),
                is_dry: args.dry_run,
            };
            recorded(session, asked, build::run(&args, session)).await
        }
        Command::Verify(args) => verify::run(&args, session).await,
        Command::List(args) => list::run(&args, session),
        Command::Prune(args) => {
            let asked = Asked {
                command: "image prune",
                subject: args.place.images(session)?.path().display().to_string(),
                person: args.person.clone(),
                is_dry: args.dry_run,
            };
            recorded(session, asked, async { prune::run(&args, session) }).await
        }
    }
}
