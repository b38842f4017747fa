//! `jitgate rollout status`.

use super::args::Status;
use crate::app::rollout::status::{self, Held, HoldCause, RolloutStatus};
use crate::app::settings::Repository;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash, time};
use crate::domain::rollout::Change;
use crate::runtime;
use crate::telemetry::one_line;
use std::io::{self, Write};

/// Runs `rollout status`.
pub(super) async fn run(args: &Status, session: &Session) -> Outcome {
    let repository = args.which.configured(session.config()?)?;
    let status = load(session, &repository).await?;
    session.answer(&status, |out| print(out, &status))?;
    Ok(Exit::Done)
}

/// Returns the state of the rollout of a repository.
pub(super) async fn load(session: &Session, repository: &Repository) -> Result<RolloutStatus, Failure> {
    let config = session.config()?;
    let policy = runtime::rollout_policy(&config.rollout);
    let window = runtime::slo_policy(&config.slo).window;
    let (ledger, now) = (session.store()?.ledger.as_ref(), session.clock.now());
    let mode = repository.policy.mode;
    status::load(ledger, &repository.name, (mode, &policy), window, now)
        .await
        .map_err(Failure::of_store)
}

/// Prints the state.
pub(super) fn print(out: &mut dyn Write, status: &RolloutStatus) -> io::Result<()> {
    let reached = &status.reached;
    let mode = format!("{:?}", reached.mode).to_lowercase();
    writeln!(out, "{} ({mode})", reached.repository)?;
    let progress = match reached.stage_size {
        Some(size) => format!("{} of {size}", reached.progress),
        None => format!("{}, without an end", reached.progress),
    };
    writeln!(out, "  stage     {}", reached.stage)?;
    writeln!(out, "  progress  {progress} (trusted pull requests)")?;
    writeln!(
        out,
        "  held      {}",
        reached.held.as_ref().map_or_else(|| "no".to_owned(), in_words)
    )?;
    writeln!(out)?;
    // In full, and not in a table: an operator compares the evidence with the thresholds.
    for trigger in &status.triggers {
        let state = match (trigger.judged, trigger.hit) {
            (_, true) => "hit",
            (true, false) => "not hit",
            (false, false) => "too little data",
        };
        let (name, evidence) = (trigger.name.as_str(), one_line(&trigger.evidence.summary));
        writeln!(out, "  {name:<14}  {state:<15}  {evidence}")?;
    }
    if status.history.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table::print(
        out,
        ["AT", "CHANGE", "STAGE", "BY", "WHY"],
        status.history.iter().map(row),
    )
}

/// Returns what holds the canary, in one line.
fn in_words(held: &Held) -> String {
    let why = held.why.as_deref().unwrap_or("no reason given");
    let by = held.by.as_deref().unwrap_or("an unknown person");
    let text = match held.cause {
        HoldCause::Hold => format!("by {by}: {why}"),
        HoldCause::Advance => why.to_owned(),
        HoldCause::Rollback => format!("routing is off after a rollback: {why}"),
        HoldCause::RoutingOff if held.at.is_none() => why.to_owned(),
        HoldCause::RoutingOff => format!("routing is off, by {by}: {why}"),
        HoldCause::Trigger => format!("a trigger is hit: {why}"),
    };
    one_line(&text).into_owned()
}

fn row(change: &Change) -> [String; 5] {
    let would = if change.would { "would " } else { "" };
    let stage = match change.from == change.to {
        true => change.to.to_string(),
        false => format!("{} -> {}", change.from, change.to),
    };
    [
        time(change.at),
        format!("{would}{}", change.what.as_str()),
        stage,
        or_dash(change.by.as_ref()),
        or_dash(change.why.as_ref()),
    ]
}
