//! The command line of `config`.

use super::{check, schema, show};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;
use clap::Subcommand;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate config check
  jitgate --config /etc/jitgate/jitgate.toml config show
  jitgate config schema")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `config`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Validate the configuration, the store and this machine
    #[command(after_help = "Examples:\n  jitgate config check\n  jitgate --config new.toml config check --json")]
    Check,
    /// Show every setting with its source, without secrets
    #[command(after_help = "Examples:\n  jitgate config show\n  JITGATE__RUNNERS__MAX=8 jitgate config show --json")]
    Show,
    /// Print the JSON Schema of the configuration file
    #[command(after_help = "Examples:\n  jitgate config schema")]
    Schema,
}

/// Runs `config`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::Check => check::run(&session.global).await,
        Command::Show => show::run(session),
        Command::Schema => schema::run(),
    }
}
