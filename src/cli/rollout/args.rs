//! The arguments of `rollout`.

use super::{export, simulate};
use crate::cli::one_repository::OneRepository;
use crate::cli::person::PersonWithReason;
use clap::Subcommand;

/// Arguments of `rollout`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate rollout status
  jitgate rollout hold --why \"the runner image changes today\"
  jitgate rollout advance --why \"stage 1 was fast and green\"
  jitgate rollout simulate --queue-wait-p95-s 90")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `rollout`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the canary stage, its progress, what holds it, the rollback triggers and the history
    #[command(after_help = "Examples:
  jitgate rollout status
  jitgate rollout status --repo octo-org/chem-model --json

Exit codes: 0 the state is printed; 5 the store.")]
    Status(Status),
    /// Start the next stage
    #[command(
        after_help = "With rollout.advance = \"manual\", jitgate switches self-hosted routing off at the end of a stage.
This command switches it on again and starts the next stage. While routing is on, the command
starts the next stage at once. It is refused while a rollback trigger is hit.

Examples:
  jitgate rollout advance --why \"stage 1 was fast and green\"
  jitgate rollout advance --repo octo-org/chem-model --why \"all green\" --by alice --dry-run

Exit codes: 0 the next stage has started; 1 it is refused; 4 GitHub; 5 the store."
    )]
    Advance(Change),
    /// Keep the canary in its stage
    #[command(after_help = "Pull requests are counted meanwhile, and the triggers are judged.

Examples:
  jitgate rollout hold --why \"the runner image changes today\"

Exit codes: 0 the canary is held; 1 it was already held; 5 the store.")]
    Hold(Change),
    /// Let a held canary go on
    #[command(after_help = "Examples:
  jitgate rollout resume --why \"the new image works\"

Exit codes: 0 the canary goes on; 1 it was not held; 5 the store.")]
    Resume(Change),
    /// Replay recorded runs, and show what the canary and the triggers would have done
    Simulate(simulate::Args),
    /// Write the recorded runs to a file
    Export(export::Args),
}

/// Arguments of `rollout status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
}

/// Arguments of a change by a person.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub person: PersonWithReason,
    /// Show the result without changing anything
    #[arg(long)]
    pub dry_run: bool,
}
