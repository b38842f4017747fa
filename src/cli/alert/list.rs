//! `jitgate alert list`.

use crate::app::Alerts;
use crate::app::alerts::Asked;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::table::{or_dash, time};
use crate::cli::{output, store, table};
use crate::domain::alert::{Alert, AlertKind, AlertState};
use crate::telemetry::one_line;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Write};

pub(super) async fn run(alerts: &Alerts, asked: &Asked, limit: u16, global: &Global) -> Outcome {
    let listed = alerts.list(asked, limit.into()).await.map_err(store::failed)?;
    if global.json {
        output::print_json(&json!({"alerts": listed}))?;
        return Ok(Exit::Done);
    }
    output::print(|out| print_table(out, &listed))?;
    let next_steps = advice(&listed);
    if !next_steps.is_empty() {
        output::complain(&next_steps.join("\n"));
    }
    if listed.len() == usize::from(limit) {
        output::complain(&format!("jitgate: there may be more than these {limit}: see --limit"));
    }
    Ok(Exit::Done)
}

/// One line an alert.
pub(super) fn print_table(out: &mut dyn Write, alerts: &[Alert]) -> io::Result<()> {
    let heading = [
        "ID",
        "STATE",
        "SEVERITY",
        "KIND",
        "REPOSITORY",
        "COUNT",
        "LAST",
        "BY",
        "JOB",
        "SUMMARY",
    ];
    let rows = alerts.iter().map(|alert| {
        [
            alert.id.clone(),
            alert.state.as_str().to_owned(),
            alert.severity.as_str().to_owned(),
            alert.kind.as_str().to_owned(),
            alert.repository.clone(),
            alert.count.to_string(),
            time(alert.last_at),
            or_dash(alert.resolved_by.as_ref().or(alert.acked_by.as_ref())),
            or_dash(alert.job_id),
            alert.summary.clone(),
        ]
    });
    table::print(out, heading, rows)?;
    // A summary is often longer than its cell.
    match alerts {
        [alone] => writeln!(out, "{}", one_line(&alone.summary)),
        _ => Ok(()),
    }
}

/// What to do about the kinds that are not over, once each.
fn advice(alerts: &[Alert]) -> Vec<String> {
    let unresolved = alerts.iter().filter(|alert| alert.state != AlertState::Resolved);
    let kinds: BTreeSet<AlertKind> = unresolved.clone().map(|alert| alert.kind).collect();
    let of_kind = |kind: AlertKind| format!("jitgate: {}: {}", kind.as_str(), kind.advice());
    let mut lines: Vec<String> = kinds.into_iter().map(of_kind).collect();
    if let Some(first) = unresolved.clone().find(|alert| alert.state == AlertState::Open) {
        lines.push(format!(
            "jitgate: say that you look at it: jitgate alert ack {} --by NAME",
            first.id
        ));
    } else if let Some(first) = unresolved.clone().next() {
        lines.push(format!(
            "jitgate: once it is over: jitgate alert resolve {} --by NAME",
            first.id
        ));
    }
    lines
}
