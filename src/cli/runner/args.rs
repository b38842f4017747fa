//! What can be done with runners.

use super::list;
use crate::cli::args::Global;
use crate::cli::exit::Outcome;
use crate::cli::store;
use clap::Subcommand;

/// Arguments of `runner`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate runner list
  jitgate runner list --all --repo octo-org/chem-model")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with runners.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List runners, the one that changed last first, and the jobs that wait for one
    #[command(after_help = "Examples:
  jitgate runner list
  jitgate runner list --state running --state gated
  jitgate runner list --all --repo octo-org/chem-model --limit 20
  jitgate runner list --json

`jitgate why JOB_ID` tells what became of one job and its runners.")]
    List(list::Args),
}

/// Runs `runner`.
pub(in crate::cli) fn run(args: Args, global: &Global) -> Outcome {
    match args.command {
        Command::List(args) => store::with(global, async |_, store| list::run(store, args, global).await),
    }
}
