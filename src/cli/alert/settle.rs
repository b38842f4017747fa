//! `jitgate alert ack` and `resolve`. Whoever serves on the same store tells the others.

use super::list::print_table;
use crate::app::Alerts;
use crate::app::alerts::Settled;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::{output, store};
use crate::domain::alert::Alert;
use anyhow::anyhow;
use serde_json::json;

/// What somebody says about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Ack,
    Resolve,
}

pub(super) async fn run(alerts: &Alerts, says: Says, ids: &[String], by: &str, global: &Global) -> Outcome {
    // One that means nothing is an error before anything is done.
    let mut meant = Vec::new();
    for id in ids {
        meant.push(find(alerts, id).await?.id);
    }
    let mut settled = Vec::new();
    for id in &meant {
        let answer = match says {
            Says::Ack => alerts.ack(id, by).await,
            Says::Resolve => alerts.resolve(id, by).await,
        };
        match answer.map_err(store::failed)? {
            Settled::Done(alert) => settled.push(*alert),
            Settled::Over(alert) => {
                let who = alert.resolved_by.as_deref().unwrap_or("somebody");
                let error = anyhow!("alert {id} is resolved already, by {who}");
                return Err(
                    Failure::new(Exit::Negative, error).remedy("there is nothing to do: it opens again by itself")
                );
            }
            Settled::Unknown => return Err(unknown(id)),
        }
    }
    if global.json {
        output::print_json(&json!({"alerts": settled}))?;
        return Ok(Exit::Done);
    }
    output::print(|out| print_table(out, &settled))?;
    if says == Says::Ack {
        for alert in &settled {
            let (kind, id) = (alert.kind, &alert.id);
            output::complain(&format!(
                "jitgate: {}: {}; then: jitgate alert resolve {id}",
                kind.as_str(),
                kind.advice()
            ));
        }
    }
    Ok(Exit::Done)
}

/// The one alert that is meant.
async fn find(alerts: &Alerts, id: &str) -> Result<Alert, Failure> {
    let mut found = alerts.find(id).await.map_err(store::failed)?.into_iter();
    match (found.next(), found.next()) {
        (Some(alert), None) => Ok(alert),
        (Some(_), Some(_)) => Err(
            Failure::new(Exit::Usage, anyhow!("more than one alert begins with {id}"))
                .remedy("give more of it: see `jitgate alert list`"),
        ),
        (None, _) => Err(unknown(id)),
    }
}

fn unknown(id: &str) -> Failure {
    Failure::new(Exit::Negative, anyhow!("there is no alert {id}"))
        .remedy("see `jitgate alert list`, and --state resolved for those that are over")
}
