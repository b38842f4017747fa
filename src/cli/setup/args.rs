//! The arguments of `setup`.

use super::app::AppSetup;
use crate::cli::credentials::CredentialArgs;
use crate::cli::one_repository::OneRepository;
use clap::Subcommand;

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate setup app --organization octo-org --webhook-url https://gate.example.com/webhooks/github --dry-run
  jitgate setup github --repo octo-org/chem-model --dry-run
  jitgate setup github --repo octo-org/chem-model --protect")]
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
    Github(Box<Github>),
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
}

/// Arguments of `setup github`.
#[derive(Debug, clap::Args)]
pub struct Github {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Name of the variable. By default the configured one
    #[arg(long, value_name = "NAME")]
    pub var_name: Option<String>,
    /// Name of the runner group
    #[arg(long, value_name = "NAME", default_value = "jitgate")]
    pub group: String,
    /// The only workflow whose jobs can use the runner group: PATH@REF in this repository, or OWNER/NAME/PATH@REF
    #[arg(long, value_name = "WORKFLOW")]
    pub workflow: Option<String>,
    /// Also set the policies for workflows of outsiders and for the token of workflows
    #[arg(long)]
    pub protect: bool,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}
