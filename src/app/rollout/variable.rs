//! Writes the routing variable and reads it back, with nothing but GitHub: it works while the store is down.

use crate::domain::facts::Variable;
use crate::domain::ids::RepositoryName;
use crate::domain::retry::backoff;
use crate::ports::github::Purpose;
use crate::ports::{Failure, GitHub};
use std::time::Duration;
use tokio::time::Instant;

/// Time for all attempts.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Number of refusals after which GitHub's answer is believed. A fresh token can be unknown to GitHub for seconds.
const MAX_REFUSALS: u32 = 3;
/// Maximum delay between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Sets the variable until GitHub shows the value, and returns what GitHub shows then. `report` receives each
/// failure after which the attempt is repeated.
///
/// # Errors
/// The failure of the last attempt.
pub async fn set(
    github: &dyn GitHub,
    repository: &RepositoryName,
    variable: &str,
    on: bool,
    report: impl Fn(&Failure),
) -> Result<Option<Variable>, Failure> {
    let began = Instant::now();
    let mut refusals = 0;
    let mut attempts = 0;
    loop {
        let failure = match set_once(github, repository, variable, on).await {
            Ok(shown) => return Ok(shown),
            Err(failure) => failure,
        };
        refusals += u32::from(matches!(failure, Failure::Permanent(_)));
        let delay = backoff(attempts, 0.0).to_std().unwrap_or(MAX_DELAY).min(MAX_DELAY);
        if refusals >= MAX_REFUSALS || began.elapsed() + delay > TIMEOUT {
            return Err(failure);
        }
        report(&failure);
        tokio::time::sleep(delay).await;
        attempts += 1;
    }
}

async fn set_once(
    github: &dyn GitHub,
    repository: &RepositoryName,
    variable: &str,
    on: bool,
) -> Result<Option<Variable>, Failure> {
    let value = if on { "true" } else { "false" };
    github.set_variable(repository, variable, value).await?;
    let shown = github.variable(repository, variable, Purpose::Admit).await?;
    if shown.as_ref().is_some_and(Variable::is_true) == on {
        return Ok(shown);
    }
    let what = format!("GitHub does not show {variable} of {repository} as {value} yet");
    Err(Failure::Transient(what))
}
