//! `jitgate delivery show`: a delivery and its decision.

use super::list;
use crate::app::records::{self, JobRecord};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table;
use crate::cli::why::decision_lines;
use crate::domain::ids::DeliveryId;
use crate::ports::queue::Delivery;
use crate::runtime::Store;
use crate::telemetry::one_line;
use anyhow::anyhow;
use serde_json::json;

/// Parses a GUID.
pub(in crate::cli) fn guid(text: &str) -> Result<DeliveryId, String> {
    DeliveryId::parse(text).ok_or_else(|| "expected a GUID of 1 to 128 letters, digits, - and _".to_owned())
}

/// Returns the delivery, or an error if it is unknown.
pub(in crate::cli) async fn known(store: &Store, id: &DeliveryId) -> Result<Delivery, Failure> {
    store
        .queue
        .delivery(id)
        .await
        .map_err(Failure::of_store)?
        .ok_or_else(|| {
            Failure::new(Exit::Negative, anyhow!("delivery {id} is unknown"))
                .remedy("its record may be deleted (store.retention_s); see `jitgate delivery list`")
        })
}

/// Returns the ledger record of the job of a delivery.
pub(super) async fn record(store: &Store, delivery: &Delivery) -> Result<Option<JobRecord>, Failure> {
    let Some(job) = delivery.job else {
        return Ok(None);
    };
    let record = records::load(store.ledger.as_ref(), &job.to_string()).await;
    record.map_err(Failure::of_store)
}

pub(super) async fn run(session: &Session, id: &DeliveryId) -> Outcome {
    let store = session.store()?;
    let delivery = known(store, id).await?;
    let record = record(store, &delivery).await?;
    let entry = record.as_ref().and_then(|record| record.entry(&delivery.id));
    let json = json!({"delivery": delivery, "decision": entry.map(|entry| &entry.decision)});
    session.answer(&json, |out| {
        list::table(out, std::slice::from_ref(&delivery))?;
        if let Some(due) = delivery.due_at {
            writeln!(out, "next try at {}", table::time(due))?;
        }
        match entry {
            None if record.as_ref().is_some_and(|record| record.is_shrunk) => {
                writeln!(
                    out,
                    "its decision is deleted, because its job has ended and was never trusted"
                )
            }
            None => writeln!(out, "it has no decision"),
            Some(entry) => decision_lines(&entry.decision, &entry.pending)
                .iter()
                .try_for_each(|line| writeln!(out, "{}", one_line(line))),
        }
    })?;
    Ok(Exit::Done)
}
