//! The arguments of `app`.

use super::account::AccountArgs;
use crate::cli::app_args::AppArgs;
use crate::cli::person::Person;
use clap::Subcommand;
use std::path::PathBuf;

/// The default file with the token that `app refresh-token` writes.
pub(super) const TOKEN_FILE: &str = "/etc/chem-model-edit/gh_runner_token";
/// The default file with the status of the last refresh.
pub(in crate::cli) const STATUS_FILE: &str = "/var/lib/chem-model-edit/github-app-token-refresh-status.json";

/// Arguments of `app`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate app check --app-id 123456 --app-private-key-file /etc/jitgate/app.pem
  jitgate app installation-id --owner octo-org --repo chem-model
  export GH_TOKEN=\"$(jitgate app token --repo octo-org/chem-model)\"
  jitgate app refresh-token")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `app`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that the app's id and private key belong together
    #[command(
        after_help = "The command shows the app as GitHub knows it, compares the clocks, and names the permissions and
events that are missing.

Examples:
  jitgate app check
  jitgate app check --app-id 123456 --app-private-key-file /etc/jitgate/app.pem
  jitgate app check --json

Exit codes: 0 nothing is missing; 1 a permission or an event is missing, or the id is that of
another app; 3 the key cannot be used; 4 GitHub rejects the app or gave no answer."
    )]
    Check(Check),
    /// Show the id of the app's installation
    #[command(after_help = "Examples:
  jitgate app installation-id --owner octo-org --repo chem-model
  jitgate app installation-id --org octo-org
  jitgate app installation-id --user alice --json

Exit codes: 0 the number is on stdout; 4 the app is not installed there, or GitHub gave no
answer.")]
    InstallationId(InstallationId),
    /// Print an installation token, which is valid for one hour
    #[command(
        after_help = "The token alone goes to stdout, its expiry to stderr. It has the permissions that jitgate needs
and the installation has. With --repo it is valid for this repository only.

Examples:
  jitgate app token --repo octo-org/chem-model
  export GH_TOKEN=\"$(jitgate app token --app-id 123456 --app-installation-id 98765432 \\
      --app-private-key-file /etc/jitgate/app.pem)\"

Exit codes: 0 the token is on stdout; 4 GitHub rejects the request or gave no answer."
    )]
    Token(Token),
    /// Replace the token file with a new installation token
    #[command(
        after_help = "The file is replaced in one step: a reader sees the old token or the new one. It has mode 0600,
and a new folder has 0700. The status file says when the token was refreshed and when it
expires. Run the command every 30 minutes: `jitgate setup token-refresh` installs a timer.

Examples:
  jitgate app refresh-token
  jitgate app refresh-token --token-file /run/jitgate/token --status-file /run/jitgate/token.json --repo octo-org/chem-model
  jitgate app refresh-token --dry-run

Exit codes: 0 both files are written; 3 a file cannot be written; 4 GitHub rejects the request
or gave no answer."
    )]
    RefreshToken(RefreshToken),
    /// Remove expired token files and unused JIT files
    #[command(
        after_help = "A file is removed if it belongs to this user and is one of these: a token file that has expired
according to its status file, a just-in-time configuration that is too old to be used, or the
draft of a process that was killed. Every other file stays.

Examples:
  jitgate app cleanup --dry-run
  jitgate app cleanup
  jitgate app cleanup --jit-max-age-s 3600 /tmp /run/jitgate

Exit codes: 0 nothing stale is left; 3 a file cannot be removed."
    )]
    Cleanup(Cleanup),
}

/// Arguments of `app check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    pub app: AppArgs,
}

/// Arguments of `app installation-id`.
#[derive(Debug, clap::Args)]
pub struct InstallationId {
    #[command(flatten)]
    pub account: AccountArgs,
    #[command(flatten)]
    pub app: AppArgs,
}

/// Arguments of `app token`.
#[derive(Debug, clap::Args)]
pub struct Token {
    #[command(flatten)]
    pub account: AccountArgs,
    #[command(flatten)]
    pub app: AppArgs,
}

/// Arguments of `app refresh-token`.
#[derive(Debug, clap::Args)]
pub struct RefreshToken {
    /// File to replace with the token
    #[arg(long, value_name = "FILE", default_value = TOKEN_FILE)]
    pub token_file: PathBuf,
    /// File to replace with the status of the refresh, as JSON
    #[arg(long, value_name = "FILE", default_value = STATUS_FILE)]
    pub status_file: PathBuf,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub account: AccountArgs,
    #[command(flatten)]
    pub app: AppArgs,
    #[command(flatten)]
    pub person: Person,
}

/// Arguments of `app cleanup`.
#[derive(Debug, clap::Args)]
pub struct Cleanup {
    /// Files and folders to look at, in addition to the token file and its folder
    #[arg(value_name = "PATH", default_value = "/tmp")]
    pub paths: Vec<PathBuf>,
    /// Token file. By default the one that the status file names
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Status file of the last refresh
    #[arg(long, value_name = "FILE", default_value = STATUS_FILE)]
    pub status_file: PathBuf,
    /// Age in seconds at which a just-in-time configuration is removed
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    pub jit_max_age_s: u32,
    /// Show the files without removing them
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
}
