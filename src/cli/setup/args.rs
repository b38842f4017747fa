//! The arguments of `setup`.

use super::app::AppSetup;
use clap::Subcommand;

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate setup app --organization octo-org --webhook-url https://gate.example.com/webhooks/github --dry-run")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `setup`.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    App(AppSetup),
}
