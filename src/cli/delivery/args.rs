//! What can be done with deliveries.

use super::filter::FilterArgs;
use super::show::guid;
use super::{list, replay, show};
use crate::cli::args::Global;
use crate::cli::exit::Outcome;
use crate::cli::store;
use crate::domain::ids::DeliveryId;
use crate::ports::queue::DeliveryState;
use clap::Subcommand;

/// Arguments of `delivery`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate delivery list
  jitgate delivery show 72d3162e-cc78-11e3-81ab-4c9367dc0958")]
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
}

fn state(word: &str) -> Result<DeliveryState, String> {
    DeliveryState::parse(word).ok_or_else(|| {
        let words = DeliveryState::ALL.map(DeliveryState::as_str);
        format!("give one of {}", words.join(", "))
    })
}

/// Runs `delivery`.
pub(in crate::cli) fn run(args: Args, global: &Global) -> Outcome {
    store::with(global, async |_, store| match args.command {
        Command::List { states, filter } => list::run(store, &filter.in_states(states), filter.limit, global).await,
        Command::Show { guid } => show::run(store, &guid, global).await,
        Command::Replay { guid } => replay::run(store, &guid, global).await,
    })
}
