//! `jitgate routing guard`: switches self-hosted routing off if runners or rollback triggers show a fault.

use super::args::Guard;
use super::change::{self, Change};
use super::place::Place;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::{output, runner};
use crate::domain::alert::inert;
use crate::domain::base_runner::health::Rules;
use crate::domain::base_runner::problem::Problem;
use crate::domain::facts::Variable;
use crate::domain::ids::RepositoryName;
use crate::domain::rollout::Origin;
use crate::ports::github::RunnerScope;
use anyhow::anyhow;
use serde::Serialize;

/// Maximum length of the reason that the guard writes itself, in characters.
const MAX_WHY_CHARS: usize = 500;

/// The effect of the guard on the variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// There is no fault.
    None,
    /// Routing was switched off.
    Disabled,
    /// Routing was off before.
    AlreadyOff,
    /// Routing would be switched off without `--dry-run`.
    WouldDisable,
    /// `--no-toggle` is given.
    Reported,
}

/// The result. Its JSON form is stable.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    repository: &'a RepositoryName,
    variable: &'a str,
    healthy: bool,
    /// False if the records cannot be read, so that no trigger is judged.
    triggers_judged: bool,
    problems: &'a [Problem],
    action: Action,
    by: Option<&'a str>,
    why: Option<&'a str>,
    recorded: bool,
}

/// Runs `routing guard`.
pub(super) async fn run(args: &Guard, session: &Session) -> Outcome {
    let mut origin = args.person.origin(session.clock.now());
    let place = Place::of(&args.target, session).await?;
    let mut problems = runners(args, &place, session).await?;
    let hits = triggers(&place, session).await;
    let triggers_judged = hits.is_some();
    problems.extend(hits.unwrap_or_default());
    let (mut action, mut recorded) = (Action::None, false);
    if let Some(first) = problems.first() {
        let cause = || inert(&format!("{}: {}", first.subject, first.what), MAX_WHY_CHARS);
        origin.why.get_or_insert_with(cause);
        (action, recorded) = react(args, &place, session, &origin).await?;
    }
    if action != Action::Disabled {
        session.note_unchanged();
    }
    let shown = Shown {
        repository: &place.name,
        variable: &place.variable,
        healthy: problems.is_empty(),
        triggers_judged,
        problems: &problems,
        action,
        by: origin.by.as_deref().filter(|_| action != Action::None),
        why: origin.why.as_deref().filter(|_| action != Action::None),
        recorded,
    };
    session.answer(&shown, |out| writeln!(out, "{}", line(&shown)))?;
    for problem in &problems {
        output::report(&format!(
            "jitgate: {}: {}\njitgate: remedy: {}",
            problem.subject, problem.what, problem.remedy
        ));
    }
    Ok(if shown.healthy { Exit::Done } else { Exit::Negative })
}

/// Returns the faults of the runners.
async fn runners(args: &Guard, place: &Place, session: &Session) -> Result<Vec<Problem>, Failure> {
    let rules = Rules {
        labels: args.labels.clone(),
        strict: args.strict_gh,
        allow_zero_capacity: args.allow_zero_capacity,
    };
    let of_repository = RunnerScope::Repository(place.name.clone());
    let scope = place.repository.as_ref().map_or(&of_repository, |known| &known.scope);
    let github = place.github.as_ref();
    runner::problems(&place.config, (&place.name, scope), rules, github, session).await
}

/// Returns the triggers that are hit; none if they cannot be judged. That is no reason to switch routing off.
async fn triggers(place: &Place, session: &Session) -> Option<Vec<Problem>> {
    let failure = match &place.repository {
        None => Failure::new(Exit::Configuration, anyhow!("{} is not configured", place.name)),
        Some(repository) => match change::hits(session, place, repository).await {
            Ok(hits) => {
                let problem = |hit: crate::domain::rollout::Judgement| {
                    Problem::new(
                        format!("trigger {}", hit.cause.trigger.as_str()),
                        hit.cause.in_words(),
                        "remove the cause, then: jitgate routing enable --why TEXT",
                    )
                };
                return Some(hits.into_iter().map(problem).collect());
            }
            Err(failure) => failure,
        },
    };
    output::report(&format!("{failure}\njitgate: warning: no rollback trigger is judged"));
    None
}

/// Switches routing off, unless it is off already or the flags forbid it. Returns whether the person is recorded.
async fn react(args: &Guard, place: &Place, session: &Session, origin: &Origin) -> Result<(Action, bool), Failure> {
    if args.no_toggle {
        return Ok((Action::Reported, false));
    }
    let before = place.ask().await?;
    if !before.as_ref().is_some_and(Variable::is_true) {
        return Ok((Action::AlreadyOff, false));
    }
    if args.dry_run {
        return Ok((Action::WouldDisable, false));
    }
    let change = Change {
        session,
        place,
        on: false,
        origin,
    };
    change.note(before.as_ref()).await;
    let shown = change.set().await?;
    let Some(repository) = place.owner() else {
        return Ok((Action::Disabled, false));
    };
    match change.record(repository, shown.as_ref()).await {
        Ok(()) => Ok((Action::Disabled, true)),
        Err(failure) => {
            output::report(&format!(
                "{failure}\njitgate: warning: routing is off, but the person and the reason are not recorded"
            ));
            Ok((Action::Disabled, false))
        }
    }
}

fn line(shown: &Shown<'_>) -> String {
    let Shown {
        repository, variable, ..
    } = shown;
    let count = match shown.problems.len() {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    match shown.action {
        Action::None => format!("{repository}: healthy"),
        Action::Disabled => {
            format!("{repository}: degraded ({count}); rollback done: GitHub shows {variable} as false")
        }
        Action::AlreadyOff => format!("{repository}: degraded ({count}); nothing to do: {variable} is not true"),
        Action::WouldDisable => format!("{repository}: degraded ({count}); would set {variable} to false"),
        Action::Reported => format!("{repository}: degraded ({count}); --no-toggle leaves {variable} as it is"),
    }
}
