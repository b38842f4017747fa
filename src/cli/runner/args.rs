//! The arguments of `runner`.

use super::list::List;
use crate::cli::credentials::CredentialArgs;
use crate::cli::one_repository::OneRepository;
use crate::cli::person::Person;
use clap::Subcommand;
use std::path::PathBuf;

/// The default folder of the runner program.
const RUNNER_HOME: &str = "/opt/actions-runner";

/// Arguments of `runner`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate runner list
  jitgate runner run --jit-config /run/jit.json --runner-home /opt/actions-runner")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `runner`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List runners, latest change first, and waiting jobs
    #[command(after_help = "Examples:
  jitgate runner list
  jitgate runner list --state running --state gated
  jitgate runner list --all --repo octo-org/chem-model --limit 20
  jitgate runner list --json

`jitgate why JOB_ID` shows the history of one job and its runners.")]
    List(List),
    /// Run one job with a JIT configuration, and remove everything afterwards
    #[command(
        after_help = "The runner has no job gate: GitHub gives it any job with its labels. `jitgate serve` runs trusted jobs only. A runner of
a public repository is refused without --public-repository.

The file is the output of `jitgate jit request`. It is removed before the job starts; the registration and the work folder
are removed after it, and with credentials GitHub's record too. SIGTERM and SIGINT end the runner in an orderly way. The
runner program writes to standard error. The job receives PATH, the locale, proxies and ACTIONS_RUNNER_* from the
environment, but no token.

Examples:
  jitgate runner run --jit-config /tmp/jit-config.json --runner-home /opt/actions-runner
  jitgate runner run --jit-config /tmp/jit-config.json --timeout 3600
  jitgate runner run --jit-config /tmp/jit-config.json --dry-run

Exit codes: 0 the runner ended and nothing is left; 1 it was stopped or exceeded its time; 2 the command line; 3 the
configuration or the file; 4 GitHub; 6 the runner program failed or is not complete, or something is left."
    )]
    Run(Run),
}

/// Arguments of `runner run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// File with the JIT configuration, which only its owner can read
    #[arg(long, value_name = "FILE")]
    pub jit_config: PathBuf,
    /// Folder of the runner program
    #[arg(long, value_name = "DIR", default_value = RUNNER_HOME)]
    pub runner_home: PathBuf,
    /// Maximum duration in seconds. By default runners.job_deadline_s
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub timeout: Option<u64>,
    /// Accept jobs of a public repository, where anyone can open a pull request
    #[arg(long)]
    pub public_repository: bool,
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub credentials: CredentialArgs,
    #[command(flatten)]
    pub person: Person,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
}
