//! `jitgate runner health`: the services of this machine against GitHub's inventory.

use super::args::Health;
use super::registration::labels;
use super::slots::{self, Slots};
use super::target::Target;
use super::texts::of_github;
use crate::adapters::runner_home::LocalHomes;
use crate::adapters::tools::ProcessTools;
use crate::app::base_runners::health::{Look, LookError, Ports, Subject, look};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash};
use crate::config::Config;
use crate::domain::base_runner::health::{BaseRunner, Rules};
use crate::domain::base_runner::problem::Problem;
use crate::domain::ids::RepositoryName;
use crate::ports::GitHub;
use crate::ports::github::RunnerScope;
use anyhow::anyhow;
use serde::Serialize;
use std::io::{self, Write};

/// The health of runners. Its JSON form is part of the contract.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    healthy: bool,
    base_runners: &'a [BaseRunner],
    /// None where base runners are configured.
    slots: Option<Slots>,
    problems: Vec<Problem>,
}

/// Runs `runner health`.
pub(super) async fn run(args: &Health, session: &Session) -> Outcome {
    let target = Target::of(&args.target, session).await?;
    let rules = Rules {
        labels: labels(&args.labels)?.unwrap_or_default(),
        strict: args.strict_gh,
        allow_zero_capacity: args.allow_zero_capacity,
    };
    let github = CredentialArgs::open(&target.config, session)?;
    let subject = subject(&target, rules);
    let seen = look(ports(github.as_ref(), session), &subject)
        .await
        .map_err(|error| failed(&error))?;
    let (shown, exit) = judge(&seen, &target, session, args.allow_zero_capacity).await;
    session.answer(&shown, |out| print(out, &shown))?;
    Ok(exit)
}

/// Returns the problems that `runner health` reports for a repository.
pub(in crate::cli) async fn problems(
    config: &Config,
    (repository, scope): (&RepositoryName, &RunnerScope),
    rules: Rules,
    github: &dyn GitHub,
    session: &Session,
) -> Result<Vec<Problem>, Failure> {
    let target = Target::at(config.clone(), repository.clone(), scope.clone());
    let allow_zero = rules.allow_zero_capacity;
    let seen = look(ports(github, session), &subject(&target, rules)).await;
    let seen = seen.map_err(|error| failed(&error))?;
    Ok(judge(&seen, &target, session, allow_zero).await.0.problems)
}

async fn judge<'a>(seen: &'a Look, target: &Target, session: &Session, allow_zero: bool) -> (Shown<'a>, Exit) {
    let base_runners = seen.assessment.base_runners.as_slice();
    let mut problems = seen.assessment.problems.clone();
    let slots = match base_runners {
        [] => Some(slots::look(&target.config, session, allow_zero).await),
        _ => None,
    };
    problems.extend(slots.iter().flat_map(|slots| slots.problems.iter().cloned()));
    let healthy = problems.is_empty();
    let shown = Shown {
        healthy,
        base_runners,
        slots,
        problems,
    };
    (shown, if healthy { Exit::Done } else { Exit::Negative })
}

/// Returns the runners to look at.
pub(super) fn subject(target: &Target, rules: Rules) -> Subject {
    Subject {
        scope: target.scope.clone(),
        place: target.place.clone(),
        url: target.url.clone(),
        base: target.config.runners.base.clone(),
        prefix: target.config.runners.name_prefix.clone(),
        rules,
    }
}

/// Returns the ports of a look. A store that cannot be read does not prevent it.
pub(super) fn ports<'a>(github: &'a dyn GitHub, session: &'a Session) -> Ports<'a> {
    Ports {
        homes: &LocalHomes,
        tools: &ProcessTools,
        github,
        ledger: session.store().ok().map(|store| store.ledger.as_ref()),
    }
}

/// Returns the failure of a look.
pub(super) fn failed(error: &LookError) -> Failure {
    match error {
        LookError::GitHub(failure) => of_github("cannot list the runners", failure),
        LookError::Store(failure) => Failure::of_store(failure.clone()),
        LookError::Units(error) => Failure::new(Exit::RunnerHost, anyhow!("{error}"))
            .remedy("run the command on the machine of the runners, and check that systemd answers: systemctl status"),
    }
}

fn print(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    if !shown.base_runners.is_empty() {
        print_runners(out, shown.base_runners)?;
    }
    if let Some(slots) = &shown.slots {
        let gate = or_dash(slots.gate.as_ref());
        let (runners, missing) = (or_dash(slots.runners), or_dash(slots.missing.as_ref()));
        writeln!(out, "no base runner; jitgate answers at {gate}")?;
        writeln!(
            out,
            "slots: min {}, max {}, target {}; runners: {runners}; missing: {missing}",
            slots.min, slots.max, slots.target
        )?;
    }
    print_problems(out, &shown.problems)?;
    writeln!(out, "{}", if shown.healthy { "healthy" } else { "degraded" })
}

/// Prints base runners as a table.
pub(super) fn print_runners(out: &mut dyn Write, runners: &[BaseRunner]) -> io::Result<()> {
    let active = |runner: &BaseRunner| runner.active.map(|active| if active { "yes" } else { "no" });
    let row = |runner: &BaseRunner| {
        [
            runner.name.clone(),
            or_dash(runner.unit.as_ref()),
            or_dash(active(runner)),
            or_dash(runner.github_status),
            if runner.busy { "yes" } else { "no" }.to_owned(),
        ]
    };
    table::print(
        out,
        ["RUNNER", "UNIT", "ACTIVE", "GITHUB", "BUSY"],
        runners.iter().map(row),
    )
}

/// Prints problems with their remedies.
pub(super) fn print_problems(out: &mut dyn Write, problems: &[Problem]) -> io::Result<()> {
    problems
        .iter()
        .try_for_each(|problem| writeln!(out, "{}: {}; remedy: {}", problem.subject, problem.what, problem.remedy))
}
