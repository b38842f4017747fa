//! `jitgate delivery list`: a table of deliveries.

use super::filter::FilterArgs;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash, time};
use crate::domain::event::Action;
use crate::ports::queue::{Delivery, DeliveryState};
use serde_json::json;
use std::io::{self, Write};

/// Prints the deliveries in these states, as JSON in the form of `/api/v1/deliveries`.
pub(in crate::cli) async fn run(session: &Session, states: Vec<DeliveryState>, filter: &FilterArgs) -> Outcome {
    let queue = &session.store()?.queue;
    let listed = queue.deliveries(&filter.in_states(states), filter.list.limit).await;
    let listed = listed.map_err(Failure::of_store)?;
    let json = json!({"deliveries": listed});
    filter
        .list
        .print(session, &json, listed.len(), |out| table(out, &listed))
}

/// Returns the kind of the event, and whether jitgate synthesized it.
fn event(delivery: &Delivery) -> String {
    if delivery.synthesized {
        format!("{} (synthesized)", delivery.event)
    } else {
        delivery.event.clone()
    }
}

/// Prints one line per delivery.
pub(super) fn table(out: &mut dyn Write, deliveries: &[Delivery]) -> io::Result<()> {
    let heading = [
        "RECEIVED",
        "GUID",
        "EVENT",
        "ACTION",
        "STATE",
        "TRIES",
        "JOB",
        "REPOSITORY",
        "CAUSE",
    ];
    let rows = deliveries.iter().map(|delivery| {
        [
            time(delivery.received_at),
            delivery.id.to_string(),
            event(delivery),
            or_dash(delivery.action.map(Action::as_str)),
            delivery.state.as_str().to_owned(),
            delivery.attempts.to_string(),
            or_dash(delivery.job),
            or_dash(delivery.repository.as_ref()),
            or_dash(delivery.cause.as_ref()),
        ]
    });
    table::print(out, heading, rows)
}
