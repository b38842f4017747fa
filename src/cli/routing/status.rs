//! `jitgate routing status`.

use super::args::Status;
use super::place::Place;
use crate::app::records::{self, RolloutRecord};
use crate::app::rollout::hard;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::{or_dash, time};
use crate::domain::facts::Variable;
use crate::domain::ids::RepositoryName;
use crate::domain::rollout::{Changed, Origin};
use crate::domain::routing::RoutingState;
use crate::ports;
use crate::ports::github::RunnerScope;
use crate::runtime;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::io::{self, Write};

/// The state of the routing variable. Its JSON form is part of the contract.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    repository: &'a RepositoryName,
    variable: &'a str,
    value: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    state: RoutingState,
    runner_group: Group,
    last_change: Option<Origin>,
}

/// The runner group of the repository's runners.
#[derive(Debug, Serialize)]
struct Group {
    id: u64,
    /// True if the group serves the repository; none if GitHub does not say it.
    has_access: Option<bool>,
}

/// Runs `routing status`.
pub(super) async fn run(args: &Status, session: &Session) -> Outcome {
    let place = Place::of(&args.target, session).await?;
    let last_change = last_change(&place, session).await;
    let (value, exit) = match place.ask().await {
        Ok(value) => (Ok(value), Exit::Done),
        Err(failure) => (Err(failure), Exit::Github),
    };
    let state = match &value {
        Ok(Some(variable)) if variable.is_true() => RoutingState::On,
        Ok(_) => RoutingState::Off,
        Err(_) => RoutingState::Unknown,
    };
    if let Err(failure) = &value {
        output::report(&failure.to_string());
    }
    let value = value.unwrap_or_default();
    let repository = place.repository.as_ref();
    let has_access = has_access(&place, session).await;
    let shown = Shown {
        repository: &place.name,
        variable: &place.variable,
        updated_at: value.as_ref().and_then(|variable| variable.updated_at),
        last_change: newest(last_change, value.as_ref()),
        value: value.map(|variable| variable.value),
        state,
        runner_group: Group {
            id: repository.map_or(1, |repository| repository.runner_group_id),
            has_access,
        },
    };
    session.answer(&shown, |out| print(out, &shown))?;
    Ok(exit)
}

/// Returns true if the repository can use its runners. Without a runner group, only a hard stop takes them away.
async fn has_access(place: &Place, session: &Session) -> Option<bool> {
    let Some(repository) = &place.repository else {
        return Some(true);
    };
    let found = match &repository.scope {
        RunnerScope::Organization(_) => match runtime::open_administration(&place.config, &session.clock) {
            Ok(administration) => hard::has_access(administration.as_ref(), repository).await,
            Err(error) => Err(ports::Failure::Permanent(error.to_string())),
        },
        RunnerScope::Repository(_) => match session.store() {
            Ok(store) => {
                let stopped = hard::recorded(store.ledger.as_ref(), repository).await;
                stopped.map(|stopped| Some(stopped.is_none()))
            }
            // The missing store is reported with the last change.
            Err(_) => Ok(None),
        },
    };
    found.unwrap_or_else(|failure| {
        output::report(&format!(
            "jitgate: warning: the access to the runner group is not known: {failure}"
        ));
        None
    })
}

/// Returns the last recorded change of routing. The command also works while the store is down.
async fn last_change(place: &Place, session: &Session) -> Option<(Origin, bool)> {
    place.owner()?;
    let record = async {
        let ledger = session.store()?.ledger.as_ref();
        let record: Option<RolloutRecord> = records::load(ledger, place.name.as_str())
            .await
            .map_err(Failure::of_store)?;
        Ok::<_, Failure>(record.unwrap_or_default())
    };
    let record = match record.await {
        Ok(record) => record,
        Err(failure) => {
            output::report(&format!("{failure}\njitgate: warning: the last change is not known"));
            return None;
        }
    };
    let is_switch = |what| matches!(what, Changed::Enable | Changed::Disable | Changed::Rollback);
    let last = record
        .history
        .into_iter()
        .rev()
        .find(|change| is_switch(change.what) && !change.would)?;
    let origin = Origin {
        by: last.by,
        why: last.why,
        at: last.at,
    };
    Some((origin, last.what == Changed::Enable))
}

/// Returns the last change. A change at GitHub that jitgate has not seen yet has no known author.
fn newest(recorded: Option<(Origin, bool)>, variable: Option<&Variable>) -> Option<Origin> {
    let (origin, was_on) = recorded?;
    let unseen = variable.filter(|variable| variable.is_true() != was_on);
    Some(match unseen.and_then(|variable| variable.updated_at) {
        Some(at) if at > origin.at => Origin::unknown(at),
        _ => origin,
    })
}

fn print(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    writeln!(out, "{}", shown.repository)?;
    let value = shown.value.as_deref().unwrap_or("not set");
    let since = shown
        .updated_at
        .map_or_else(String::new, |at| format!(" since {}", time(at)));
    writeln!(out, "  {}  {value}{since}", shown.variable)?;
    writeln!(out, "  routing       {}", shown.state.as_str())?;
    let access = match shown.runner_group.has_access {
        Some(true) => "has access",
        Some(false) => "has no access",
        None => "access is not known",
    };
    writeln!(out, "  runner group  {} ({access})", shown.runner_group.id)?;
    let Some(change) = &shown.last_change else {
        return writeln!(out, "  last change   -");
    };
    let by = change.by.as_deref().unwrap_or("an unknown person");
    writeln!(
        out,
        "  last change   {} by {by}: {}",
        time(change.at),
        or_dash(change.why.as_ref())
    )
}
