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
  jitgate runner run --jit-config /tmp/jit-config.json --runner-home /opt/actions-runner
  jitgate runner register --runner-home /opt/actions-runner --dry-run
  jitgate runner health
  sudo jitgate runner recover --runner-home /opt/actions-runner")]
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
    /// Register an own runner at GitHub and install its service, as far as needed
    #[command(
        after_help = "The command compares the registration in the folder with GitHub's inventory. A valid registration remains; otherwise it
fetches a registration token, runs config.sh and installs the service with svc.sh. The name and the work folder remain
unless a flag changes them. A runner that executes a job is not touched. The second run has nothing to do.

A registered runner has no job gate: GitHub gives it any job with its labels. Do not give it the label chem-trusted-pr
if outsiders can open pull requests. Its name belongs into runners.base or runners.known, which this command does not
change.

Examples:
  jitgate runner register --repo octo-org/chem-model --runner-home /opt/actions-runner --dry-run
  sudo jitgate runner register --repo octo-org/chem-model --runner-home /opt/actions-runner --labels self-hosted,linux,x64
  sudo jitgate runner register --scope org --group builders --name builder-1

Exit codes: 0 the runner is registered and its service runs; 1 another runner or a job would be harmed, or the runner does
not come online; 2 the command line; 3 the configuration; 4 GitHub; 6 config.sh, svc.sh or systemd."
    )]
    Register(Register),
    /// Compare the services of own runners on this machine with GitHub
    #[command(
        after_help = "The command compares the services actions.runner.* with GitHub's inventory, and looks for the runners in runners.base.
Without any of them it shows the health of jitgate and its slots. It changes nothing.

Examples:
  jitgate runner health
  jitgate runner health --owner octo-org --repo chem-model --labels self-hosted,linux,x64
  jitgate runner health --strict-gh --json

Exit codes: 0 healthy; 1 degraded; 2 the command line; 3 the configuration; 4 GitHub; 5 the store; 6 systemd."
    )]
    Health(Health),
    /// Restart own runners, register them again if needed, and wait until they are healthy
    #[command(
        after_help = "The environment variables RUNNER_OWNER, RUNNER_REPO, RUNNER_LABELS, RUNNER_GROUP, RUNNER_NAME, RUNNER_WORKDIR and
RUNNER_SERVICE_USER stand for missing flags. The command requires root, except with --dry-run.

Examples:
  jitgate runner recover --repo octo-org/chem-model --runner-home /opt/actions-runner --dry-run
  sudo jitgate runner recover --repo octo-org/chem-model --labels self-hosted,linux,x64 --runner-home /opt/actions-runner

Exit codes: 0 healthy; 1 still degraded; 2 the command line; 3 the configuration; 4 GitHub; 5 the store; 6 the services."
    )]
    Recover(Recover),
}

/// The place where runners are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RunnerScopeArg {
    /// The repository
    Repo,
    /// The organization that owns it
    Org,
}

/// The repository or organization, and the credentials.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Place of the runners. By default the configured one of the repository, otherwise the repository
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<RunnerScopeArg>,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// The properties of a registration.
#[derive(Debug, clap::Args)]
pub struct RegistrationArgs {
    /// Folder of the runner program
    #[arg(long, value_name = "DIR", default_value = RUNNER_HOME)]
    pub runner_home: PathBuf,
    /// Labels, separated by commas. By default the registered ones
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Runner group of the organization
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Name of the runner. By default the registered one, otherwise chem-base-HOSTNAME
    #[arg(long, alias = "runner-name", value_name = "NAME")]
    pub name: Option<String>,
    /// Work folder. By default the registered one, otherwise _work
    #[arg(long, alias = "work-folder", value_name = "DIR")]
    pub work: Option<String>,
    /// Account of the service. By default the owner of the runner program
    #[arg(long, value_name = "ACCOUNT")]
    pub service_user: Option<String>,
}

/// Arguments of `runner register`.
#[derive(Debug, clap::Args)]
pub struct Register {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Replace a registration for another place, or a runner of the same name that is online
    #[arg(long)]
    pub force: bool,
    /// Maximum time in seconds until GitHub shows the runner as online
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    #[command(flatten)]
    pub person: Person,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `runner health`.
#[derive(Debug, clap::Args)]
pub struct Health {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Labels, separated by commas; only runners with all of them count
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Report runners that are online at GitHub without an active service on this machine
    #[arg(long)]
    pub strict_gh: bool,
    /// Accept that no runner is online and no slot is up
    #[arg(long)]
    pub allow_zero_capacity: bool,
}

/// Arguments of `runner recover`.
#[derive(Debug, clap::Args)]
pub struct Recover {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Maximum time in seconds until the runners are healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    #[command(flatten)]
    pub person: Person,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
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
