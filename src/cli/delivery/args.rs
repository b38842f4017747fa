//! The command line of `delivery`.

use super::filter::FilterArgs;
use super::show::guid;
use super::{export, list, replay, show};
use crate::cli::exit::Outcome;
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
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958 --out moved-head.json")]
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
}

fn state(word: &str) -> Result<DeliveryState, String> {
    one_of(&DeliveryState::ALL, DeliveryState::as_str, word)
}

/// Runs `delivery`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List { states, filter } => list::run(session, states, &filter).await,
        Command::Show { guid } => show::run(session, &guid).await,
        Command::Replay { guid } => replay::run(session, &guid).await,
        Command::Export { guid, out } => export::run(session, &guid, out.as_deref()).await,
    }
}
