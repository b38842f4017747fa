//! The arguments of `routing`.

use crate::cli::credentials::CredentialArgs;
use crate::cli::one_repository::OneRepository;
use crate::cli::person::Person;
use clap::Subcommand;

/// Arguments of `routing`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate routing status
  jitgate routing disable --repo octo-org/chem-model --token-env-var GH_TOKEN
  jitgate routing enable --why \"the disk is replaced\"")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `routing`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the routing variable and its last change
    #[command(after_help = "Examples:
  jitgate routing status
  jitgate routing status --repo octo-org/chem-model --token-source gh --json

Exit codes: 0 GitHub shows the variable, or that it does not exist; 4 GitHub did not answer.")]
    Status(Status),
    /// Switch self-hosted routing on
    #[command(
        after_help = "The command is refused while a rollback trigger is hit that can still be judged, such as runners that are offline. --force
overrides the trigger and requires a reason. jitgate itself never switches routing on after a rollback.

Examples:
  jitgate routing enable --why \"the disk is replaced\"
  jitgate routing enable --force --why \"the second machine follows tomorrow\" --by alice
  jitgate routing enable --dry-run

Exit codes: 0 GitHub shows the variable as true; 1 a trigger is hit; 4 GitHub; 5 the store."
    )]
    Enable(Enable),
    /// Switch self-hosted routing off
    #[command(
        after_help = "In an emergency this command needs nothing but a token: no configuration, no store and no running jitgate. Trusted jobs
then go to hosted runners. Person and reason are recorded if the store answers.

--hard also takes the runners away, which stops jobs that ignore the variable. In an organization, the configured runner
group no longer serves the repository. Otherwise jitgate makes no runner for it, and its idle runners are removed. A
running job ends normally. `jitgate routing enable` undoes it.

Examples:
  jitgate routing disable
  jitgate routing disable --repo octo-org/chem-model --token-env-var GH_TOKEN
  jitgate routing disable --repo octo-org/chem-model --token-source gh --why \"the host is compromised\"
  jitgate routing disable --hard --why \"a job escaped its sandbox\"

Exit codes: 0 GitHub shows the variable as off; 2 the command line; 3 no credentials; 4 GitHub."
    )]
    Disable(Disable),
    /// Switch self-hosted routing off if runners or triggers show a fault
    #[command(
        after_help = "The command is for a timer or for a first look in an incident. It checks the runners as `jitgate runner health` does, and
judges the rollback triggers that the records allow. On a fault it sets the variable to false, and records the person and
the reason. A second run changes nothing. It never switches routing on: use `jitgate routing enable`.

Examples:
  jitgate routing guard
  jitgate routing guard --repo octo-org/chem-model --token-source gh --strict-gh
  jitgate routing guard --no-toggle --json
  jitgate routing guard --dry-run

Exit codes: 0 healthy; 1 degraded, and routing is off unless --no-toggle or --dry-run is given; 4 GitHub did not answer;
6 systemd did not answer."
    )]
    Guard(Guard),
}

/// The repository, the variable and the credentials.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Name of the variable. By default the configured one
    #[arg(long, value_name = "NAME")]
    pub var_name: Option<String>,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Arguments of `routing status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `routing enable`.
#[derive(Debug, clap::Args)]
pub struct Enable {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub person: Person,
    /// Override the rollback triggers; requires --why
    #[arg(long)]
    pub force: bool,
    /// Show the result without changing anything
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `routing disable`.
#[derive(Debug, clap::Args)]
pub struct Disable {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub person: Person,
    /// Also take the repository's self-hosted runners away
    #[arg(long)]
    pub hard: bool,
    /// Show the result without changing anything
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `routing guard`.
#[derive(Debug, clap::Args)]
pub struct Guard {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub person: Person,
    /// Labels, separated by commas; only own runners with all of them count
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Report runners that are online at GitHub without an active service on this machine
    #[arg(long)]
    pub strict_gh: bool,
    /// Accept that no runner is online and no slot is up
    #[arg(long)]
    pub allow_zero_capacity: bool,
    /// Report a fault without switching routing off
    #[arg(long)]
    pub no_toggle: bool,
    /// Show the result without changing anything
    #[arg(long)]
    pub dry_run: bool,
}
