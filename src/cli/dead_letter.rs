//! `jitgate dead-letter`: deliveries that jitgate gave up on, with the cause.

use super::changes::{Asked, recorded};
use super::delivery::{FilterArgs, guid, known, list, requeue};
use super::exit::{Exit, Failure, Outcome};
use super::output;
use super::person::Person;
use super::session::Session;
use crate::domain::ids::DeliveryId;
use crate::ports::queue::DeliveryState;
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
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `dead-letter`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List dead letters with their causes, newest first
    #[command(after_help = "Examples:\n  jitgate dead-letter list --repository octo-org/chem-model --json")]
    List(FilterArgs),
    /// Process dead letters again, as if they had just arrived
    #[command(after_help = "Examples:
  jitgate dead-letter retry 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate dead-letter retry --all --since 2h")]
    Retry(Which),
    /// Delete dead letters with their GUIDs. A redelivery is then new
    #[command(after_help = "Examples:
  jitgate dead-letter drop 72d3162e-cc78-11e3-81ab-4c9367dc0958
  jitgate dead-letter drop --all --repository octo-org/chem-model")]
    Drop(Which),
}

/// The selection of dead letters.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// GUIDs of the dead letters
    #[arg(value_name = "GUID", value_parser = guid, required_unless_present = "all")]
    pub guids: Vec<DeliveryId>,
    /// Select all dead letters that match the filter, at most --limit
    #[arg(long, conflicts_with = "guids")]
    pub all: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub person: Person,
}

impl Which {
    fn asked(&self, command: &'static str) -> Asked {
        Asked {
            command,
            subject: if self.all {
                "all that match".to_owned()
            } else {
                Asked::of_many(&self.guids)
            },
            person: self.person.clone(),
            is_dry: false,
        }
    }
}

/// Runs `dead-letter`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List(filter) => list(session, vec![DeliveryState::Dead], &filter).await,
        Command::Retry(which) => recorded(session, which.asked("dead-letter retry"), retry(&which, session)).await,
        Command::Drop(which) => recorded(session, which.asked("dead-letter drop"), forget(&which, session)).await,
    }
}

async fn retry(which: &Which, session: &Session) -> Outcome {
    let store = session.store()?;
    let chosen = choose(store, which).await?;
    settle("queued again", &chosen, session, async |id| requeue(store, id).await).await
}

async fn forget(which: &Which, session: &Session) -> Outcome {
    let store = session.store()?;
    let chosen = choose(store, which).await?;
    settle("dropped", &chosen, session, async |id| {
        // False: another command settled the dead letter in the meantime, which has the same effect.
        store.queue.forget_dead(id).await.map(drop).map_err(Failure::of_store)
    })
    .await
}

/// Returns the selected dead letters. An invalid GUID is an error before any change.
async fn choose(store: &Store, which: &Which) -> Result<Vec<DeliveryId>, Failure> {
    if which.all {
        let filter = which.filter.in_states(vec![DeliveryState::Dead]);
        let listed = store.queue.deliveries(&filter, which.filter.list.limit).await;
        return Ok(listed
            .map_err(Failure::of_store)?
            .into_iter()
            .map(|dead| dead.id)
            .collect());
    }
    for id in &which.guids {
        let state = known(store, id).await?.state;
        if state != DeliveryState::Dead {
            let error = anyhow!("delivery {id} is {}, not a dead letter", state.as_str());
            return Err(Failure::new(Exit::Negative, error).remedy("list them with `jitgate dead-letter list`"));
        }
    }
    Ok(which.guids.clone())
}

/// Settles the dead letters one after the other. A failure is reported, and the others proceed.
async fn settle(
    word: &str,
    chosen: &[DeliveryId],
    session: &Session,
    each: impl AsyncFn(&DeliveryId) -> Result<(), Failure>,
) -> Outcome {
    if chosen.is_empty() {
        session.note_unchanged();
    }
    let mut settled = Vec::new();
    let mut worst = Exit::Done;
    for id in chosen {
        match each(id).await {
            Ok(()) => settled.push(id),
            Err(failure) => {
                output::report(&failure.to_string());
                worst = failure.exit;
                if worst == Exit::Store {
                    break;
                }
            }
        }
    }
    session.answer(&json!({"result": word, "deliveries": settled}), |out| {
        settled.iter().try_for_each(|id| writeln!(out, "{id} {word}"))?;
        writeln!(out, "{} of {} {word}", settled.len(), chosen.len())
    })?;
    Ok(worst)
}
