//! `jitgate delivery replay`.

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
        let error = anyhow!("delivery {id} is {} already", before.as_str());
        return Err(
            Failure::new(Exit::Negative, error).remedy("wait for it; `jitgate delivery show` tells how far it is")
        );
    }
    requeue(store, id).await?;
    session.answer(&json!({"delivery": id, "state": DeliveryState::Queued}), |out| {
        writeln!(out, "delivery {id} is queued again")
    })?;
    Ok(Exit::Done)
}

/// Puts a delivery that is over back into the queue.
pub(in crate::cli) async fn requeue(store: &Store, id: &DeliveryId) -> Result<(), Failure> {
    if store.queue.requeue(id).await.map_err(Failure::of_store)? {
        return Ok(());
    }
    let error = anyhow!("the body of delivery {id} is not kept, so nobody can work on it");
    Err(Failure::new(Exit::Negative, error).remedy("have GitHub redeliver it: Settings, Webhooks, Recent Deliveries"))
}
