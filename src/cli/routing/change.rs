//! `jitgate routing enable` and `disable`: a person switches self-hosted routing.
//!
//! `disable` writes the variable first and records the person afterwards, so that the store is never in its way.

use super::args::{Disable, Enable};
use super::hard;
use super::place::Place;
use crate::app::records::{self, RolloutRecord};
use crate::app::rollout::{status, switch, variable};
use crate::app::settings::Repository;
use crate::cli::exit::{Exit, Failure, Outcome, remedy_at_github};
use crate::cli::output;
use crate::cli::session::Session;
use crate::domain::facts::Variable;
use crate::domain::rollout::{Judgement, Origin};
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;
use std::time::Duration;

/// Time that the store may take to record a person, after the variable is written.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `routing enable`.
pub(super) async fn enable(args: &Enable, session: &Session) -> Outcome {
    let now = session.clock.now();
    let origin = match args.force {
        true => args.person.origin_with_reason(now)?,
        false => args.person.origin(now),
    };
    let place = Place::of(&args.target, session).await?;
    let Some(repository) = place.repository.clone() else {
        let remedy = format!("add a [[repositories]] table with full_name = \"{}\"", place.name);
        let error = anyhow!(
            "{} is not configured, so its rollback triggers are not known",
            place.name
        );
        return Err(Failure::new(Exit::Configuration, error).remedy(remedy));
    };
    let hits = hits(session, &place, &repository).await?;
    if let Some(hit) = hits.first().filter(|_| !args.force) {
        let error = anyhow!("trigger {}", hit.cause.in_words());
        return Err(Failure::new(Exit::Negative, error)
            .remedy("remove the cause first, or override the trigger with --force --why TEXT"));
    }
    let change = Change {
        session,
        place: &place,
        on: true,
        origin: &origin,
    };
    if args.dry_run {
        return change.preview().await;
    }
    let before = place.ask().await?;
    if let Some(owner) = place.owner() {
        let (ledger, retention) = (session.store()?.ledger.as_ref(), place.config.store.retention);
        let stages = runtime::rollout_policy(&place.config.rollout).stages;
        // A change that no worker has seen yet comes first in the history.
        let seen = switch::seen(before.as_ref(), now);
        let noted = switch::note_in(ledger, retention, owner, seen, &stages, now).await;
        noted.map_err(Failure::of_store)?;
        let announced = switch::announce(ledger, retention, owner, true, &origin).await;
        announced.map_err(Failure::of_store)?;
        hard::restore(&place, owner, session).await?;
    }
    let shown = match before {
        Some(variable) if variable.is_true() => Some(variable),
        _ => change.set().await?,
    };
    if let Some(owner) = place.owner() {
        change.record(owner, shown.as_ref()).await?;
    }
    change.answer(shown.as_ref(), place.owner().is_some())
}

/// Runs `routing disable`.
pub(super) async fn disable(args: &Disable, session: &Session) -> Outcome {
    let origin = args.person.origin(session.clock.now());
    let place = Place::of(&args.target, session).await?;
    let change = Change {
        session,
        place: &place,
        on: false,
        origin: &origin,
    };
    if args.dry_run {
        return match args.hard {
            true => hard::preview(&place, session, || change.preview()).await,
            false => change.preview().await,
        };
    }
    let shown = change.set().await?;
    if args.hard {
        hard::stop(&place, session, &origin).await?;
    }
    let is_recorded = match place.owner() {
        None => false,
        Some(owner) => match change.record(owner, shown.as_ref()).await {
            Ok(()) => true,
            Err(failure) => {
                output::report(&format!(
                    "{failure}\njitgate: warning: routing is off, but the person and the reason are not recorded"
                ));
                false
            }
        },
    };
    change.answer(shown.as_ref(), is_recorded)
}

/// Returns the triggers that are hit.
pub(super) async fn hits(session: &Session, place: &Place, repository: &Repository) -> Result<Vec<Judgement>, Failure> {
    let ledger = session.store()?.ledger.as_ref();
    let record: Option<RolloutRecord> = records::load(ledger, repository.name.as_str())
        .await
        .map_err(Failure::of_store)?;
    let policy = runtime::rollout_policy(&place.config.rollout);
    let window = runtime::slo_policy(&place.config.slo).window;
    let record = record.unwrap_or_default();
    let now = session.clock.now();
    let judgements = status::judgements(ledger, &repository.name, &record, &policy, window, now).await;
    let judgements = judgements.map_err(Failure::of_store)?;
    Ok(judgements.into_iter().filter(|judgement| judgement.hit).collect())
}

/// A change of the variable by a person.
pub(super) struct Change<'a> {
    pub(super) session: &'a Session,
    pub(super) place: &'a Place,
    pub(super) on: bool,
    pub(super) origin: &'a Origin,
}

impl Change<'_> {
    fn value(&self) -> &'static str {
        if self.on { "true" } else { "false" }
    }

    /// Writes the variable until GitHub shows the value.
    pub(super) async fn set(&self) -> Result<Option<Variable>, Failure> {
        let Place {
            name, variable, github, ..
        } = self.place;
        let report = |failure: &crate::ports::Failure| {
            output::report(&format!("jitgate: {name}: {failure}; the write is repeated"));
        };
        let shown = variable::set(github.as_ref(), name, variable, self.on, report).await;
        shown.map_err(|failure| {
            let error = anyhow!("{name}: cannot set variable {variable} to {}: {failure}", self.value());
            let remedy = remedy_at_github(&failure, "use other credentials (--token-source)");
            let by_hand = format!("gh variable set {variable} --repo {name} --body {}", self.value());
            Failure::new(Exit::Github, error).remedy(format!("{remedy}, or set it by hand: {by_hand}"))
        })
    }

    /// Records the value before the change, so that the history shows a change. A store that does not answer does not prevent
    /// the change.
    pub(super) async fn note(&self, before: Option<&Variable>) {
        let (Some(repository), Ok(store)) = (self.place.owner(), self.session.store()) else {
            return;
        };
        let (retention, now) = (self.place.config.store.retention, self.session.clock.now());
        let stages = runtime::rollout_policy(&self.place.config.rollout).stages;
        let seen = switch::seen(before, now);
        let noted = switch::note_in(store.ledger.as_ref(), retention, repository, seen, &stages, now);
        // The record after the change reports a failure.
        drop(tokio::time::timeout(RECORD_TIMEOUT, noted).await);
    }

    /// Records the person and the reason.
    pub(super) async fn record(&self, repository: &Repository, shown: Option<&Variable>) -> Result<(), Failure> {
        let ledger = self.session.store()?.ledger.as_ref();
        let (retention, now) = (self.place.config.store.retention, self.session.clock.now());
        let stages = runtime::rollout_policy(&self.place.config.rollout).stages;
        let seen = switch::seen(shown, now);
        let recorded = switch::record(ledger, retention, repository, seen, self.origin, &stages, now);
        match tokio::time::timeout(RECORD_TIMEOUT, recorded).await {
            Ok(recorded) => recorded.map_err(Failure::of_store),
            Err(_) => {
                let error = anyhow!("the store did not answer within {} s", RECORD_TIMEOUT.as_secs());
                Err(Failure::new(Exit::Store, error))
            }
        }
    }

    async fn preview(&self) -> Outcome {
        let shown = self.place.ask().await?;
        let before = shown.as_ref().map_or("not set", |variable| variable.value.as_str());
        let Place { name, variable, .. } = self.place;
        let json = json!({
            "repository": name, "variable": variable, "before": before, "value": self.value(),
            "by": self.origin.by, "why": self.origin.why, "dry_run": true,
        });
        self.session.answer(&json, |out| {
            if before == self.value() {
                return writeln!(out, "{name}: {variable} is {before} already");
            }
            writeln!(out, "{name}: would set {variable} from {before} to {}", self.value())
        })?;
        Ok(Exit::Done)
    }

    fn answer(&self, shown: Option<&Variable>, is_recorded: bool) -> Outcome {
        let Place { name, variable, .. } = self.place;
        let value = shown.map_or_else(|| self.value().to_owned(), |variable| variable.value.clone());
        let json = json!({
            "repository": name, "variable": variable, "value": value,
            "updated_at": shown.and_then(|variable| variable.updated_at),
            "by": self.origin.by, "why": self.origin.why, "recorded": is_recorded,
        });
        self.session
            .answer(&json, |out| writeln!(out, "{name}: GitHub shows {variable} as {value}"))?;
        Ok(Exit::Done)
    }
}
