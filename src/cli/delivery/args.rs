//! What can be done with deliveries.

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
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with deliveries.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deliveries, the newest first
    #[command(after_help = "Examples:
  jitgate delivery list --limit 20
  jitgate delivery list --state queued --state leased
  jitgate delivery list --repository octo-org/chem-model --since 2h --json
  jitgate delivery list --job 101")]
    List {
        /// In this state; can be given more than once
        #[arg(long = "state", value_name = "STATE", value_parser = state)]
        states: Vec<DeliveryState>,
        /// Which ones
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Show one delivery and what was decided on it
    #[command(after_help = "Examples:\n  jitgate delivery show 72d3162e-cc78-11e3-81ab-4c9367dc0958 --json")]
    Show {
        /// Its GUID: `X-GitHub-Delivery`
        #[arg(value_parser = guid)]
        guid: DeliveryId,
    },
    /// Have a finished or dead delivery worked on again, as if it had just come
    #[command(after_help = "Examples:\n  jitgate delivery replay 72d3162e-cc78-11e3-81ab-4c9367dc0958")]
    Replay {
        /// Its GUID: `X-GitHub-Delivery`
        #[arg(value_parser = guid)]
        guid: DeliveryId,
    },
    /// Write a delivery with what GitHub said about it as a fixture, which `jitgate replay` plays and which expects the
    /// decision that was made. No secrets are in it; names of repositories, branches and people are
    #[command(after_help = "Examples:
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate delivery export 72d3162e-cc78-11e3-81ab-4c9367dc0958 --out moved-head.json
  jitgate replay moved-head.json")]
    Export {
        /// Its GUID: `X-GitHub-Delivery`
        #[arg(value_parser = guid)]
        guid: DeliveryId,
        /// Write it to this file instead of stdout
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
