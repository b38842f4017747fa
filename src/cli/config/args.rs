//! What can be asked about the configuration.

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
    /// What to look at.
    #[command(subcommand)]
    pub command: Command,
}

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with the configuration, or risky
    #[command(after_help = "Examples:\n  jitgate config check\n  jitgate --config new.toml config check --json")]
    Check,
    /// Print every setting, where it came from, and no secret
    #[command(after_help = "Examples:\n  jitgate config show\n  JITGATE__RUNNERS__MAX=8 jitgate config show --json")]
    Show,
    /// Print the JSON Schema of a configuration file
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
