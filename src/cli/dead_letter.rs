//! `jitgate dead-letter`: deliveries that were given up on, for a reported reason.

use super::args::Global;
use super::delivery::{FilterArgs, guid, known, print_list, requeue};
use super::exit::{Exit, Failure, Outcome};
use super::{output, store};
use crate::domain::ids::DeliveryId;
use crate::ports::queue::{DeliveryState, Filter};
use crate::runtime::Store;
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;

/// Arguments of `dead-letter`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate dead-letter list
  jitgate dead-letter retry --all --since 1d
  jitgate dead-letter drop 72d3162e-cc78-11e3-81ab-4c9367dc0958")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them, the newest first, with the reason of each
    #[command(after_help = "Examples:\n  jitgate dead-letter list --repository octo-org/chem-model --json")]
    List(FilterArgs),
    /// Have them worked on again, as if they had just come
    #[command(after_help = "Examples:
  jitgate dead-letter retry 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate dead-letter retry --all --since 2h")]
    Retry(Which),
    /// Forget them, GUID included: redelivered, they are new
    #[command(after_help = "Examples:
  jitgate dead-letter drop 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate dead-letter drop --all --repository octo-org/chem-model")]
    Drop(Which),
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Their GUIDs
    #[arg(value_name = "GUID", value_parser = guid, required_unless_present = "all")]
    pub guids: Vec<DeliveryId>,
    /// All that the other flags mean, at most --limit
    #[arg(long, conflicts_with = "guids")]
    pub all: bool,
    /// Which of all
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Runs `dead-letter`.
pub(super) fn run(args: Args, global: &Global) -> Outcome {
    store::with(global, async |_, store| match args.command {
        Command::List(filter) => {
            print_list(store, &dead(&filter), filter.limit, global).await?;
            Ok(Exit::Done)
        }
        Command::Retry(which) => {
            let chosen = choose(store, &which).await?;
            settle("queued again", &chosen, global, async |id| requeue(store, id).await).await
        }
        Command::Drop(which) => {
            let chosen = choose(store, &which).await?;
            settle("dropped", &chosen, global, async |id| {
                // False: somebody else settled it meanwhile, which is as good.
                store.queue.forget_dead(id).await.map(drop).map_err(store::failed)
            })
            .await
        }
    })
}

fn dead(filter: &FilterArgs) -> Filter {
    filter.in_states(vec![DeliveryState::Dead])
}

/// The dead letters that are meant. One that is named and is none is an error before anything is done.
async fn choose(store: &Store, which: &Which) -> Result<Vec<DeliveryId>, Failure> {
    if which.all {
        let listed = store
            .queue
            .deliveries(&dead(&which.filter), which.filter.limit.into())
            .await;
        return Ok(listed.map_err(store::failed)?.into_iter().map(|dead| dead.id).collect());
    }
    for id in &which.guids {
        let state = known(store, id).await?.state;
        if state != DeliveryState::Dead {
            let error = anyhow!("delivery {id} is {}, and no dead letter", state.as_str());
            return Err(Failure::new(Exit::Negative, error).remedy("see `jitgate dead-letter list`"));
        }
    }
    Ok(which.guids.clone())
}

/// Settles one after the other. One that fails is told, and the rest goes on.
async fn settle(
    word: &str,
    chosen: &[DeliveryId],
    global: &Global,
    each: impl AsyncFn(&DeliveryId) -> Result<(), Failure>,
) -> Outcome {
    let mut settled = Vec::new();
    let mut worst = Exit::Done;
    for id in chosen {
        match each(id).await {
            Ok(()) => settled.push(id),
            Err(failure) => {
                output::complain(&failure.to_string());
                worst = failure.exit;
                if worst == Exit::Store {
                    break;
                }
            }
        }
    }
    if global.json {
        output::print_json(&json!({"result": word, "deliveries": settled}))?;
    } else {
        output::print(|out| {
            settled.iter().try_for_each(|id| writeln!(out, "{id} {word}"))?;
            writeln!(out, "{} of {} {word}", settled.len(), chosen.len())
        })?;
    }
    Ok(worst)
}
