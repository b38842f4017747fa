//! The entry point: from the command line to an exit code.

use super::args::{Cli, Command};
use super::exit::{Exit, Failure, Outcome};
use super::session::Session;
use super::{
    alert, app, config, dead_letter, delivery, image, incident, internal, jit, logging, output, pool, replay,
    repository, rollout, routing, runner, serve, setup, simulate, slo, verify, why,
};
use crate::telemetry::one_line;
use clap::Parser;
use futures::future::LocalBoxFuture;
use std::panic;
use std::process::ExitCode;

/// Runs the command and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| {
        output::report(&format!(
            "jitgate: bug: {}; please report it",
            one_line(&info.to_string())
        ))
    }));
    let outcome = panic::catch_unwind(|| match Cli::try_parse() {
        Ok(cli) => finish(run(cli)),
        Err(usage) => {
            // A closed stderr does not change the exit code.
            usage.print().unwrap_or_default();
            if usage.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    });
    outcome.unwrap_or(Exit::Bug).into()
}

fn run(cli: Cli) -> Outcome {
    // The server logs as configured, and the parts of a slot do not log.
    let is_server = match &cli.command {
        Command::Serve(_) | Command::Internal(_) => true,
        Command::Pool(args) => args.is_worker(),
        _ => false,
    };
    if !is_server {
        logging::on_request(&cli.global);
    }
    let session = Session::new(cli.global);
    let command: LocalBoxFuture<'_, Outcome> = match cli.command {
        Command::Serve(args) => Box::pin(serve::run(args, &session)),
        Command::Why(args) => Box::pin(why::run(args, &session)),
        Command::Runner(args) => Box::pin(runner::run(args, &session)),
        Command::Delivery(args) => Box::pin(delivery::run(args, &session)),
        Command::DeadLetter(args) => Box::pin(dead_letter::run(args, &session)),
        Command::Alert(args) => Box::pin(alert::run(args, &session)),
        Command::Incident(args) => Box::pin(incident::run(args, &session)),
        Command::Slo(args) => Box::pin(slo::run(args, &session)),
        Command::Replay(args) => Box::pin(replay::run(args, &session)),
        Command::Simulate(args) => Box::pin(simulate::run(args, &session)),
        Command::Rollout(args) => Box::pin(rollout::run(args, &session)),
        Command::Routing(args) => Box::pin(routing::run(args, &session)),
        Command::Pool(args) => Box::pin(pool::run(args, &session)),
        Command::App(args) => Box::pin(app::run(args, &session)),
        Command::Jit(args) => Box::pin(jit::run(args, &session)),
        Command::Repository(args) => Box::pin(repository::run(args, &session)),
        Command::Image(args) => Box::pin(image::run(args, &session)),
        Command::Setup(args) => Box::pin(setup::run(args, &session)),
        Command::Verify(args) => Box::pin(verify::run(args, &session)),
        Command::Config(args) => Box::pin(config::run(args, &session)),
        Command::Internal(args) => return internal::run(args),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, error))?;
    runtime.block_on(command)
}

fn finish(outcome: Outcome) -> Exit {
    outcome.unwrap_or_else(|failure| {
        output::report(&failure.to_string());
        failure.exit
    })
}
