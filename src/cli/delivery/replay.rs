//! `jitgate delivery replay`: queues a delivery again.

use super::show::known;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::ids::DeliveryId;
use crate::ports::queue::DeliveryState;
use crate::runtime::Store;
use anyhow::anyhow;
use serde_json::json;

pub(super) async fn run(session: &Session, id: &DeliveryId) -> Outcome {
    let store = session.store()?;
    let before = known(store, id).await?.state;
    if matches!(before, DeliveryState::Queued | DeliveryState::Leased) {
        let error = anyhow!("delivery {id} is already {}", before.as_str());
        return Err(
            Failure::new(Exit::Negative, error).remedy("wait for it; `jitgate delivery show` shows its progress")
        );
    }
    requeue(store, id).await?;
    session.answer(&json!({"delivery": id, "state": DeliveryState::Queued}), |out| {
        writeln!(out, "delivery {id} is queued again")
    })?;
    Ok(Exit::Done)
}

/// Puts a finished or dead delivery back into the queue.
pub(in crate::cli) async fn requeue(store: &Store, id: &DeliveryId) -> Result<(), Failure> {
    if store.queue.requeue(id).await.map_err(Failure::of_store)? {
        return Ok(());
    }
    let error = anyhow!("the body of delivery {id} is deleted, so it cannot be processed again");
    Err(Failure::new(Exit::Negative, error)
        .remedy("redeliver it at GitHub under Settings, Webhooks, Recent Deliveries"))
}
