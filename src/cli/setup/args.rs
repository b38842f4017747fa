//! The arguments of `setup`.

use super::app::AppSetup;
use super::github::GithubSetup;
use crate::cli::one_repository::OneRepository;
use crate::cli::person::Person;
use crate::cli::pool::{WorkerArgs, interval_s};
use crate::domain::units::{DEFAULT_TOKEN_FILE, Word};
use clap::Subcommand;
use std::path::PathBuf;

/// The directory of the units of this machine.
pub(super) const UNIT_DIRECTORY: &str = "/etc/systemd/system";

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate setup app --repo octo-org/chem-model --webhook-url https://gate.example.com/webhooks/github
  jitgate setup github --repo octo-org/chem-model --protect
  jitgate setup supervisor --dry-run
  sudo jitgate setup supervisor --repo octo-org/chem-model --min 1 --max 4
  sudo jitgate setup token-refresh --app-id 123456 --app-installation-id 7890 --app-private-key-file /etc/jitgate/app.pem")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `setup`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare a repository at GitHub: runner group, routing variable, policies
    #[command(
        after_help = "The command only takes the steps that are missing, so it can be repeated. It never switches routing on, and a variable
that exists keeps its value. An organization gets a runner group that only this repository can use. A personal
account has no runner groups.

With --workflow, GitHub itself refuses jobs of every other workflow, also of an edited copy: name a reusable workflow
on a protected branch, or pin it by its commit. deploy/workflow/trusted.yml is an example.

Examples:
  jitgate setup github --repo octo-org/chem-model --dry-run
  jitgate setup github --repo octo-org/chem-model --protect
  jitgate setup github --workflow .github/workflows/trusted.yml@refs/heads/main --protect
  jitgate setup github --repo octo-org/chem-model --token-source gh --json

Exit codes: 0 GitHub is prepared; 2 the command line; 3 no credentials; 4 GitHub."
    )]
    Github(Box<GithubSetup>),
    /// Create the GitHub App, and store its private key and its webhook secret
    #[command(
        after_help = "The command prints the address of a page on this machine. The page leads to GitHub's form, which
already contains the name, the permissions, the event and the webhook of the app. GitHub returns
the private key and the webhook secret, and the command stores them in the folder: app.pem,
webhook-secret (mode 0600) and app.json. Nothing is typed by hand. If jitgate.toml does not
exist in the folder, it is written; otherwise the command prints the lines that it needs.

If the app exists already, the command compares it with these flags, and corrects its webhook.

Examples:
  jitgate setup app --organization octo-org --webhook-url https://gate.example.com/webhooks/github
  jitgate setup app --repo alice/chem-model --folder /home/alice/.config/jitgate
  jitgate setup app --organization octo-org --dry-run --json

Exit codes: 0 the app exists and its credentials are stored; 1 no answer came from the browser
in time; 3 a file cannot be written; 4 GitHub rejects the request or gave no answer; 9 the port
is in use."
    )]
    App(Box<AppSetup>),
    /// Install and start the supervisor of the runner pool
    #[command(
        after_help = "The command writes a hardened unit for `jitgate pool supervise`, starts it, and stops the timer of `jitgate setup
reconcile-timer`. With --token-source app it also sets up the token refresh: only the refresh reads the private key, and the
supervisor reads the refreshed token. A missing --target is the maximum. A second run changes nothing. Drop-ins stay, and a unit that was edited is not replaced
without --force.

Examples:
  jitgate setup supervisor --dry-run
  sudo jitgate setup supervisor --repo octo-org/chem-model --min 1 --max 4 --target 4 --interval 15 \\
    --token-source app --app-id 123456 --app-installation-id 7890 --app-private-key-file /etc/jitgate/app.pem

Exit codes: 0 everything is installed and runs; 1 a unit was edited by hand; 2 the command line; 3 the configuration; 5 the
store; 6 this machine, such as a failed `systemctl`."
    )]
    Supervisor(Pool),
    /// Install the timer that fills the runner pool without a supervisor
    #[command(
        after_help = "The command writes hardened units for one `jitgate pool reconcile` at a time, starts the timer, and stops the supervisor. The
supervisor is the better choice: it leaves no pause between two passes. The flags are those of `jitgate setup supervisor`.

Examples:
  jitgate setup reconcile-timer --dry-run
  sudo jitgate setup reconcile-timer --repo octo-org/chem-model --interval 60

Exit codes: those of `jitgate setup supervisor`."
    )]
    ReconcileTimer(Pool),
    /// Install the timer that refreshes the installation token
    #[command(
        after_help = "The command writes hardened units for `jitgate app refresh-token` and starts the timer. A token lasts an hour, so an interval
of more than 50 minutes is refused. The directory of the token file belongs to the account of the pool alone.

Examples:
  jitgate setup token-refresh --dry-run
  sudo jitgate setup token-refresh --app-id 123456 --app-installation-id 7890 --app-private-key-file /etc/jitgate/app.pem

Exit codes: those of `jitgate setup supervisor`."
    )]
    TokenRefresh(TokenRefresh),
    /// Install the root service that recovers the base runner on request
    #[command(
        after_help = "`jitgate runner recover` needs root, and the supervisor has no rights. This command writes a service that runs it as root with
the arguments given here, and a unit that starts the service when the file /var/lib/jitgate/recovery-request changes. The
content of the file is not read. After four recoveries in an hour, further requests fail; a recovery that installs the service of
the runner again starts this count anew.

Examples:
  jitgate setup recovery --dry-run
  sudo jitgate setup recovery --repo octo-org/chem-model --runner-home /opt/actions-runner
  sudo -u jitgate touch /var/lib/jitgate/recovery-request

Exit codes: those of `jitgate setup supervisor`."
    )]
    Recovery(Recovery),
}

/// Arguments of `setup supervisor` and `setup reconcile-timer`.
#[derive(Debug, clap::Args)]
pub struct Pool {
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Interval between passes without an event, in seconds. By default 15 for the supervisor, and 60 for the timer
    #[arg(long, value_name = "SECONDS", value_parser = interval_s())]
    pub interval: Option<u64>,
    /// Leave out the token refresh of --token-source app, in an emergency; requires --allow-expiring-app-token
    #[arg(long)]
    pub disable_app_token_refresh_setup: bool,
    /// Accept that the token expires within an hour. An alert stays open until the token refresh is set up
    #[arg(long)]
    pub allow_expiring_app_token: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Arguments of `setup token-refresh`.
#[derive(Debug, clap::Args)]
pub struct TokenRefresh {
    /// Client id or app id of the GitHub App. By default the configured one
    #[arg(long, value_name = "ID")]
    pub app_id: Option<String>,
    /// Installation of the app. By default the configured one
    #[arg(long, value_name = "ID")]
    pub app_installation_id: Option<u64>,
    /// File with the private key of the app. By default the configured one
    #[arg(long, value_name = "FILE")]
    pub app_private_key_file: Option<PathBuf>,
    /// File for the token, in a directory of its own
    #[arg(long, value_name = "FILE", default_value = DEFAULT_TOKEN_FILE)]
    pub token_file: PathBuf,
    /// Root of GitHub's REST API. By default the configured one
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Seconds between two refreshes, at most 3000
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub interval: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Arguments of `setup recovery`.
#[derive(Debug, clap::Args)]
pub struct Recovery {
    #[command(flatten)]
    pub which: OneRepository,
    /// Labels of the base runner, separated by commas. By default those that it has
    #[arg(long, value_name = "LABELS", value_parser = word)]
    pub labels: Option<Word>,
    /// Runner group of the base runner
    #[arg(long, value_name = "NAME", default_value = "Default", value_parser = word)]
    pub group: Word,
    /// Directory of the base runner
    #[arg(long, value_name = "DIR", default_value = "/opt/actions-runner")]
    pub runner_home: PathBuf,
    /// File with the token, which only its owner can read. By default the credentials of the configuration
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// The machine, and the manner of a change.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Account of the units; created if it does not exist
    #[arg(long, value_name = "NAME", default_value = "jitgate", value_parser = word)]
    pub user: Word,
    /// Program of the units. By default this one
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Directory of the units
    #[arg(long, value_name = "DIR", default_value = UNIT_DIRECTORY)]
    pub unit_dir: PathBuf,
    /// Replace units that were edited by hand
    #[arg(long)]
    pub force: bool,
    /// Show the steps without changing anything
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
}

fn word(text: &str) -> Result<Word, String> {
    Word::parse(text).map_err(|error| error.to_string())
}
