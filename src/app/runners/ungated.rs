//! Self-hosted runners that jitgate did not create. They have no job gate, and GitHub gives them any job with matching
//! labels.
//!
//! Anyone can use a name. A runner belongs to jitgate only if the ledger has its exact name and GitHub's id, and it is
//! permitted only if the operator lists it. GitHub's list contains self-hosted runners only, without its larger hosted
//! runners. None of them is removed.

use super::record::load_runner;
use crate::app::context::Context;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::runner::is_job_and_attempt;
use crate::ports::github::{GitHubRunner, RunnerScope};
use crate::ports::{Failure, Ledger};
use globset::GlobSet;

/// Maximum number of runner names in one alert.
const MAX_NAMED: usize = 8;

/// Returns true if the ledger has a runner of this name and id. A runner without a known id is being created.
pub(in crate::app) async fn is_ours(ledger: &dyn Ledger, runner: &GitHubRunner) -> Result<bool, Failure> {
    let known = load_runner(ledger, &runner.name).await?;
    Ok(known.is_some_and(|known| known.id.is_none_or(|id| id == runner.id)))
}

/// Returns true if the operator lists the runner. Names are compared with case.
pub(in crate::app) fn is_listed(known: &GlobSet, runner: &GitHubRunner) -> bool {
    known.is_match(&runner.name)
}

/// Raises an alert about the unknown runners in a scope, once for each set of them, and ends it when there are none.
/// Records that begin with `ours` and are in no ledger are removed by the sweep.
pub(in crate::app) async fn report(
    ctx: &Context,
    scope: &RunnerScope,
    listed: &[GitHubRunner],
    ours: &str,
) -> Result<(), Failure> {
    let mut unknown = Vec::new();
    for runner in listed {
        let is_left_over = runner.name.strip_prefix(ours).is_some_and(is_job_and_attempt);
        if is_listed(&ctx.settings.known_runners, runner) || is_ours(ctx.ledger.as_ref(), runner).await? {
            continue;
        }
        if !is_left_over || load_runner(ctx.ledger.as_ref(), &runner.name).await?.is_some() {
            unknown.push(runner.name.as_str());
        }
    }
    let key = AlertKey::new(AlertKind::UngatedRunner, Some(scope.repository()));
    if unknown.is_empty() {
        return ctx.alerts.over(&key, None).await;
    }
    let what = summary(scope, &mut unknown);
    let alert = Alert::new(&key, None, &what, ctx.clock.now());
    ctx.alerts.raise_once(alert).await
}

fn summary(scope: &RunnerScope, unknown: &mut [&str]) -> String {
    unknown.sort_unstable();
    let place = match scope {
        RunnerScope::Repository(name) => name.as_str(),
        RunnerScope::Organization(name) => name.owner(),
    };
    let count = unknown.len();
    let named: Vec<&str> = unknown.iter().copied().take(MAX_NAMED).collect();
    let more = match count - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{count} self-hosted {} of {place} {} neither jitgate's nor listed as known: {}{more}",
        if count == 1 { "runner" } else { "runners" },
        if count == 1 { "is" } else { "are" },
        named.join(", ")
    )
}
