//! Dispatches the subcommands of `routing`.

use super::args::{Args, Command, Target};
use super::{change, guard, status};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::person::Person;
use crate::cli::session::Session;

/// Runs `routing`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Status(args) => status::run(&args, session).await,
        Command::Enable(args) => {
            let asked = asked("routing enable", &args.target, &args.person, args.dry_run, session);
            recorded(session, asked, change::enable(&args, session)).await
        }
        Command::Disable(args) => {
            let asked = asked("routing disable", &args.target, &args.person, args.dry_run, session);
            recorded(session, asked, change::disable(&args, session)).await
        }
        Command::Guard(args) => {
            let asked = asked("routing guard", &args.target, &args.person, args.dry_run, session);
            recorded(session, asked, guard::run(&args, session)).await
        }
    }
}

fn asked(command: &'static str, target: &Target, person: &Person, is_dry: bool, session: &Session) -> Asked {
    Asked {
        command,
        subject: target.which.subject(session),
        person: person.clone(),
        is_dry,
    }
}
