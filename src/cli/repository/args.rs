//! What can be done about repositories.

use super::accept;
use crate::cli::args::Global;
use crate::cli::exit::Outcome;
use crate::cli::one_repository::OneRepository;
use clap::Subcommand;

/// Arguments of `repository`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate repository accept --repo octo-org/chem-model --why \"transferred to octo-org\"")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done about repositories.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say that a repository which GitHub shows under a configured name is the one that is meant from now on
    #[command(
        after_help = "jitgate pins the ids of a repository and of its owner when GitHub first shows them, and serves no other one under the
same name. After a transfer of yours, or after you made the repository anew, this command asks GitHub for the ids, shows
the old and the new ones, and pins the new ones. Look at both before you believe that it is yours.

Examples:
  jitgate repository accept --why \"the only one that is configured was transferred\"
  jitgate repository accept --repo octo-org/chem-model --why \"transferred to octo-org\" --by alice --json

Exit codes: 0 these ids are pinned, now or before; 1 the configuration names others, or GitHub shows no such repository;
4 GitHub did not answer; 5 the store."
    )]
    Accept(Accept),
}

/// Which repository, and who accepts it.
#[derive(Debug, clap::Args)]
pub struct Accept {
    /// The repository; may be left out where only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Why it is right; kept with the ids
    #[arg(long, value_name = "TEXT", required = true)]
    pub why: String,
    /// Who accepts it. By default the login name
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Runs `repository`.
pub(in crate::cli) fn run(args: Args, global: &Global) -> Outcome {
    match args.command {
        Command::Accept(accept) => accept::run(&accept, global),
    }
}
