//! Dispatches the subcommands of `runner`.

use super::args::{Args, Command};
use super::{health, list, one_job, recover, register};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::person::Person;
use crate::cli::session::Session;
use std::path::Path;

/// Runs `runner`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List(args) => list::run(args, session).await,
        Command::Run(args) => {
            let asked = asked("runner run", &args.jit_config, &args.person, args.dry_run);
            recorded(session, asked, one_job::run(&args, session)).await
        }
        Command::Register(args) => {
            let home = &args.registration.runner_home;
            let asked = asked("runner register", home, &args.person, args.dry_run);
            recorded(session, asked, register::run(&args, session)).await
        }
        Command::Health(args) => health::run(&args, session).await,
        Command::Recover(args) => {
            let home = &args.registration.runner_home;
            let asked = asked("runner recover", home, &args.person, args.dry_run);
            recorded(session, asked, recover::run(args, session)).await
        }
    }
}

fn asked(command: &'static str, file: &Path, person: &Person, is_dry: bool) -> Asked {
    Asked {
        command,
        subject: file.display().to_string(),
        person: person.clone(),
        is_dry,
    }
}
