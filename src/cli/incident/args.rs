//! The arguments of `jitgate incident`.

use super::list::{self, List};
use super::report::{self, Report};
use crate::cli::exit::Outcome;
use crate::cli::session::Session;
use clap::Subcommand;

/// Arguments of `incident`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate incident list
  jitgate incident report 1f0c7a --out incident.md")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `incident`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List incidents with their acknowledgements, escalations and safe states, latest first
    #[command(
        after_help = "A critical alert opens an incident. `safe` means that routing is off, or that the design contained the job;
`handled` means that a person has acknowledged it too. Acknowledge and resolve the alert with `jitgate alert`.

Examples:
  jitgate incident list
  jitgate incident list --state open --state acknowledged
  jitgate incident list --repository octo-org/chem-model --limit 5 --json"
    )]
    List(List),
    /// Write the report of an incident as Markdown: its timeline, evidence, decisions and safe state
    #[command(after_help = "Examples:
  jitgate incident report 1f0c7a
  jitgate incident report 1f0c7a --out incident.md
  jitgate incident report 1f0c7a2209bd41e8 --json")]
    Report(Report),
}

/// Runs `incident`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List(args) => list::run(args, session).await,
        Command::Report(args) => report::run(args, session).await,
    }
}
