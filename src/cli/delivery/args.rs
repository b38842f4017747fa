//! The command line of `delivery`.

use super::filter::{FilterArgs, Since};
use super::show::guid;
use super::{export, list, recover, replay, show};
use crate::cli::changes::{Asked, recorded};
use crate::cli::exit::Outcome;
use crate::cli::person::Person;
use crate::cli::session::Session;
use crate::domain::ids::DeliveryId;
use crate::domain::text::one_of;
use crate::ports::queue::DeliveryState;
use clap::Subcommand;
use std::path::PathBuf;

/// Arguments of `delivery`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate delivery list
  jitgate delivery show 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958 --out moved-head.json
  jitgate delivery recover --since 2h --dry-run")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `delivery`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deliveries, newest first
    #[command(after_help = "Examples:
  jitgate delivery list --limit 20
  jitgate delivery list --state queued --state leased
  jitgate delivery list --repository octo-org/chem-model --since 2h --json
  jitgate delivery list --job 101")]
    List {
        /// State of the deliveries; can be repeated
        #[arg(long = "state", value_name = "STATE", value_parser = state)]
        states: Vec<DeliveryState>,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Show one delivery and its decision
    #[command(after_help = "Examples:\n  jitgate delivery show 72d3162e-cc78-11e3-81ab-4c9367dc0958 --json")]
    Show {
        /// GUID of the delivery, from the X-GitHub-Delivery header
        #[arg(value_parser = guid)]
        guid: DeliveryId,
    },
    /// Process a finished or dead delivery again, as if it had just arrived
    #[command(after_help = "Examples:\n  jitgate delivery replay 72d3162e-cc78-11e3-81ab-4c9367dc0958")]
    Replay {
        /// GUID of the delivery, from the X-GitHub-Delivery header
        #[arg(value_parser = guid)]
        guid: DeliveryId,
        #[command(flatten)]
        person: Person,
    },
    /// Export a delivery as a fixture for `jitgate replay`, with the facts from GitHub and the decision as expectation. It
    /// contains no secrets, but names of repositories, branches and people
    #[command(after_help = "Examples:
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958 --out moved-head.json
  jitgate replay moved-head.json")]
    Export {
        /// GUID of the delivery, from the X-GitHub-Delivery header
        #[arg(value_parser = guid)]
        guid: DeliveryId,
        /// Output file. By default stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Find deliveries that never arrived: request them again, and queue missing events of jobs that GitHub shows
    #[command(after_help = "Examples:
  jitgate delivery recover
  jitgate delivery recover --since 2h --dry-run
  jitgate delivery recover --json

A running `jitgate serve` does the same at its start and every few minutes. GitHub keeps deliveries for three days. The
delivery log requires the credentials of a GitHub App; with a token only runs are polled.")]
    Recover {
        /// Earliest delivery to look for: a date such as 2026-11-23T12:00:00Z, or a duration before now such as 90s, 30m, 2h or
        /// 3d. By default the end of the latest complete pass
        #[arg(long, value_name = "TIME", value_parser = Since::parse)]
        since: Option<Since>,
        /// Only show the deliveries and events that are missing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        person: Person,
    },
}

fn state(word: &str) -> Result<DeliveryState, String> {
    one_of(&DeliveryState::ALL, DeliveryState::as_str, word)
}

/// Runs `delivery`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List { states, filter } => list::run(session, states, &filter).await,
        Command::Show { guid } => show::run(session, &guid).await,
        Command::Replay { guid, person } => {
            let asked = Asked {
                command: "delivery replay",
                subject: guid.to_string(),
                person,
                is_dry: false,
            };
            recorded(session, asked, replay::run(session, &guid)).await
        }
        Command::Export { guid, out } => export::run(session, &guid, out.as_deref()).await,
        Command::Recover { since, dry_run, person } => {
            let asked = Asked {
                command: "delivery recover",
                subject: "lost deliveries".to_owned(),
                person,
                is_dry: dry_run,
            };
            recorded(session, asked, recover::run(session, since, dry_run)).await
        }
    }
}
