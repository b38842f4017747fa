//! `jitgate delivery list`.

use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::table::{or_dash, time};
use crate::cli::{output, store, table};
use crate::domain::event::Action;
use crate::ports::queue::{Delivery, Filter};
use crate::runtime::Store;
use serde_json::json;
use std::io::{self, Write};

pub(super) async fn run(store: &Store, filter: &Filter, limit: u16, global: &Global) -> Outcome {
    print_list(store, filter, limit, global).await?;
    Ok(Exit::Done)
}

/// Prints what the filter means, as `/api/v1/deliveries` does.
pub(in crate::cli) async fn print_list(
    store: &Store,
    filter: &Filter,
    limit: u16,
    global: &Global,
) -> Result<(), Failure> {
    let listed = store.queue.deliveries(filter, limit.into()).await;
    let listed = listed.map_err(store::failed)?;
    if global.json {
        return output::print_json(&json!({"deliveries": listed}));
    }
    output::print(|out| table(out, &listed))?;
    if listed.len() == usize::from(limit) {
        output::complain(&format!("jitgate: there may be more than these {limit}: see --limit"));
    }
    Ok(())
}

/// One line a delivery.
pub(in crate::cli) fn table(out: &mut dyn Write, deliveries: &[Delivery]) -> io::Result<()> {
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
            delivery.event.clone(),
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
