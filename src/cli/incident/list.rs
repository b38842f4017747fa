//! `jitgate incident list`.

use crate::app::incidents::{self, IncidentFilter};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::list::ListArgs;
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash, time};
use crate::domain::incident::{Incident, IncidentState};
use crate::domain::text::one_of;
use std::io::{self, Write};

/// Arguments of `incident list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// State of the incidents: open, acknowledged, safe, handled or closed; can be repeated. By default all
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<IncidentState>,
    #[command(flatten)]
    list: ListArgs,
}

fn state(word: &str) -> Result<IncidentState, String> {
    one_of(&IncidentState::ALL, IncidentState::as_str, word)
}

pub(super) async fn run(args: List, session: &Session) -> Outcome {
    let filter = IncidentFilter {
        states: args.states,
        repository: args.list.repository.clone(),
    };
    let (ledger, alerts) = (session.store()?.ledger.as_ref(), session.alerts()?);
    let listed = incidents::list(ledger, &alerts, &filter, args.list.limit).await;
    let listed = listed.map_err(Failure::of_store)?;
    let json: Vec<_> = listed.iter().map(Incident::summary).collect();
    let exit = args
        .list
        .print(session, &json, listed.len(), |out| print_table(out, &listed))?;
    if let Some(open) = listed.iter().find(|incident| !incident.state.is_acknowledged())
        && !session.global.json
    {
        output::report(&format!(
            "jitgate: acknowledge its alert: jitgate alert ack {} --by NAME",
            open.alert
        ));
    }
    Ok(exit)
}

/// Prints one line per incident.
fn print_table(out: &mut dyn Write, incidents: &[Incident]) -> io::Result<()> {
    let heading = [
        "ID",
        "STATE",
        "KIND",
        "REPOSITORY",
        "OPENED",
        "ACKNOWLEDGED",
        "BY",
        "ESCALATED",
        "SAFE",
        "CLOSED",
        "ALERT",
    ];
    let rows = incidents.iter().map(|incident| {
        let latest = incident.escalations.last();
        [
            incident.id.clone(),
            incident.state.as_str().to_owned(),
            incident.kind.as_str().to_owned(),
            incident.repository.clone(),
            time(incident.opened_at),
            or_dash(incident.acknowledged_at.map(time)),
            or_dash(incident.acknowledged_by.as_ref()),
            or_dash(latest.map(|escalation| time(escalation.at))),
            or_dash(incident.safe_at.map(time)),
            or_dash(incident.closed_at.map(time)),
            incident.alert.clone(),
        ]
    });
    table::print(out, heading, rows)
}
