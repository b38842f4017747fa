//! Dispatches the subcommands of `setup`.

use super::args::{Args, Command, MachineArgs};
use super::pool::Mode;
use super::{app, github, pool, recovery, token_refresh};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::person::Person;
use crate::cli::session::Session;

/// Runs `setup`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::App(args) => {
            let folder = args.folder.display().to_string();
            let asked = asked("setup app", folder, &args.person, args.dry_run);
            recorded(session, asked, app::run(&args, session)).await
        }
        Command::Github(args) => {
            let repository = args.which.subject(session);
            let asked = asked("setup github", repository, &args.person, args.dry_run);
            recorded(session, asked, github::run(&args, session)).await
        }
        Command::Supervisor(args) => {
            let asked = of_units("setup supervisor", &args.machine);
            recorded(session, asked, pool::run(&args, Mode::Supervisor, session)).await
        }
        Command::ReconcileTimer(args) => {
            let asked = of_units("setup reconcile-timer", &args.machine);
            recorded(session, asked, pool::run(&args, Mode::Timer, session)).await
        }
        Command::TokenRefresh(args) => {
            let asked = of_units("setup token-refresh", &args.machine);
            recorded(session, asked, token_refresh::run(&args, session)).await
        }
        Command::Recovery(args) => {
            let asked = of_units("setup recovery", &args.machine);
            recorded(session, asked, recovery::run(&args, session)).await
        }
    }
}

fn of_units(command: &'static str, machine: &MachineArgs) -> Asked {
    let folder = machine.unit_dir.display().to_string();
    asked(command, folder, &machine.person, machine.dry_run)
}

fn asked(command: &'static str, subject: String, person: &Person, is_dry: bool) -> Asked {
    Asked {
        command,
        subject,
        person: person.clone(),
        is_dry,
    }
}
