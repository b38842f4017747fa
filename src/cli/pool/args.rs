//! The arguments of `pool`.

use crate::cli::credentials::CredentialArgs;
use crate::cli::one_repository::OneRepository;
use crate::cli::person::Person;
use clap::{ArgGroup, Subcommand};
use std::path::PathBuf;

/// The most slots of a pool, as in the configuration.
const MAX_SLOTS: i64 = 10_000;

/// Arguments of `pool`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate pool status
  jitgate pool scale --repo octo-org/chem-model --min 1 --max 4 --target 4
  jitgate pool supervise --interval 15")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `pool`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the bounds of the number of slots
    #[command(
        after_help = "The bounds are stored, and the worker of the pool obeys them within a second. They apply instead of
runners.min, runners.max and runners.target until they are changed or reset. Without --target, the
minimum is the target. The target is kept between the minimum and the maximum.

Slots are named home-self-host, home-self-host-2 and so on. Idle slots beyond the target are
removed, the highest number first. A busy slot counts towards the target and stays until its job
has ended (warning busy_runner_not_removed). --force-remove-busy ends the jobs beyond the target.

Examples:
  jitgate pool scale --repo octo-org/chem-model --min 1 --max 4 --target 4
  jitgate pool scale --min 1 --max 4 --why \"maintenance tonight\" --dry-run
  jitgate pool scale --min 1 --max 4 --inventory-out inventory.json --status-out status.json
  jitgate pool scale --reset

Exit codes: 0 done, or nothing to do; 2 the command line; 3 the configuration; 4 GitHub; 5 the
store."
    )]
    Scale(Scale),
    /// Show the bounds, the slots, the runners and the waiting jobs
    #[command(after_help = "Examples:
  jitgate pool status
  jitgate pool status --json

Exit codes: 0 the state is shown; 3 the configuration; 5 the store.")]
    Status(Status),
    /// Run the worker of the pool until it is stopped
    #[command(
        after_help = "This is the worker of `jitgate serve --role worker`, with the sole right to the pool of its state
directory: a second one exits with code 7 and names the first one. In each interval it reads the
private key or the token file again, so that new credentials need no restart. Bounds that `pool
scale` stored have priority over --min, --max and --target. A missing target is the maximum.

Examples:
  jitgate pool supervise
  jitgate pool supervise --repo octo-org/chem-model --min 1 --max 4 --interval 15
  jitgate pool supervise --token-source file --token-file /etc/chem-model-edit/gh_runner_token

Exit codes: 0 stopped; 2 the command line; 3 the configuration; 5 the store; 6 this machine;
7 another worker has the pool."
    )]
    Supervise(Supervise),
    /// Run one pass of the worker, for a timer
    #[command(
        after_help = "The pass processes the deliveries that wait, searches for lost ones, makes runners, and ends once
nothing more can be done now. Jobs that it started go on. It does nothing while another worker has
the pool.

Examples:
  jitgate pool reconcile
  jitgate pool reconcile --min 1 --max 4 --json

Exit codes: 0 done; 1 stopped early; 2 the command line; 3 the configuration; 5 the store; 6 this
machine; 7 another worker has the pool."
    )]
    Reconcile(Reconcile),
}

/// The bounds on the command line.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BoundArgs {
    /// Minimum number of slots. By default the configured one
    #[arg(long, value_name = "COUNT", value_parser = slots())]
    pub min: Option<u32>,
    /// Maximum number of slots. By default the configured one
    #[arg(long, value_name = "COUNT", value_parser = slots())]
    pub max: Option<u32>,
    /// Number of slots while no job waits
    #[arg(long, value_name = "COUNT", value_parser = slots())]
    pub target: Option<u32>,
}

fn slots() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=MAX_SLOTS)
}

/// Returns the parser of an interval between passes.
pub(in crate::cli) fn interval_s() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=3600)
}

/// Arguments of `pool scale`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("change").args(["min", "max", "target", "reset"]).multiple(true).required(true))]
pub struct Scale {
    /// Repository whose list of runners is compared; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub bounds: BoundArgs,
    /// Let the configured bounds apply again
    #[arg(long, conflicts_with_all = ["min", "max", "target", "force_remove_busy"])]
    pub reset: bool,
    /// End the jobs in slots beyond the target
    #[arg(long)]
    pub force_remove_busy: bool,
    /// File for the inventory, as JSON
    #[arg(long, value_name = "FILE")]
    pub inventory_out: Option<PathBuf>,
    /// File for the result, as JSON
    #[arg(long, value_name = "FILE")]
    pub status_out: Option<PathBuf>,
    /// Show the steps without changing anything and without writing files
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Arguments of `pool status`.
#[derive(Debug, clap::Args)]
pub struct Status {}

/// The settings of a worker on the command line.
#[derive(Debug, clap::Args)]
pub struct WorkerArgs {
    /// Served repository. Other configured repositories are served as well
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub bounds: BoundArgs,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Arguments of `pool supervise`.
#[derive(Debug, clap::Args)]
pub struct Supervise {
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Interval between passes without an event, in seconds. By default the configured one
    #[arg(long, value_name = "SECONDS", value_parser = interval_s())]
    pub interval: Option<u64>,
}

/// Arguments of `pool reconcile`.
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    #[command(flatten)]
    pub worker: WorkerArgs,
}
