//! From the command line to an exit code.

use super::args::{Cli, Command};
use super::exit::{Exit, Outcome};
use super::{
    alert, config, dead_letter, delivery, internal, output, replay, repository, runner, serve, simulate, verify, why,
};
use crate::telemetry::one_line;
use clap::Parser;
use std::panic;
use std::process::ExitCode;

/// Runs the command that was typed.
#[must_use]
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| {
        output::complain(&format!(
            "jitgate: bug: {}; please report it",
            one_line(&info.to_string())
        ))
    }));
    let outcome = panic::catch_unwind(|| match Cli::try_parse() {
        Ok(cli) => finish(run(cli)),
        Err(usage) => {
            // Nobody listening is no reason to fail otherwise.
            usage.print().unwrap_or_default();
            if usage.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    });
    outcome.unwrap_or(Exit::Bug).into()
}

fn run(cli: Cli) -> Outcome {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(args, &global),
        Command::Why(args) => why::run(args, &global),
        Command::Runner(args) => runner::run(args, &global),
        Command::Delivery(args) => delivery::run(args, &global),
        Command::DeadLetter(args) => dead_letter::run(args, &global),
        Command::Alert(args) => alert::run(args, &global),
        Command::Replay(args) => replay::run(args, &global),
        Command::Simulate(args) => simulate::run(args, &global),
        Command::Repository(args) => repository::run(args, &global),
        Command::Verify(args) => verify::run(args, &global),
        Command::Config(args) => config::run(args, &global),
        Command::Internal(args) => internal::run(args),
    }
}

fn finish(outcome: Outcome) -> Exit {
    outcome.unwrap_or_else(|failure| {
        output::complain(&failure.to_string());
        failure.exit
    })
}
