//! The command line of `changes`.

use crate::cli::list::limit;
use clap::Subcommand;

/// Arguments of `changes`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate changes list
  jitgate changes list --limit 10 --json")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `changes`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the changes that persons made with jitgate commands, newest first
    #[command(
        after_help = "Every command that changes something takes --why TEXT and --by NAME, and leaves a record: in the
store, or without a store in changes.jsonl of the state directory. This command shows both. A
command that was killed, or that found nothing to do, leaves no record.

Examples:
  jitgate changes list
  jitgate changes list --limit 10 --json

Exit codes: 0 the changes are shown; 3 the configuration, or a file that cannot be read; 5 the
store."
    )]
    List(List),
}

/// Arguments of `changes list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Maximum number of results
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
    pub limit: usize,
}
