//! Gathers the state of the operator's own runners and judges it.

use super::units::{self, UnitsError};
use crate::app::runners::ungated;
use crate::domain::base_runner::health::{Assessment, LocalRunner, Rules, Seen, assess};
use crate::domain::base_runner::listed::ListedRunner;
use crate::domain::base_runner::place::Place;
use crate::domain::runner::is_of_prefix;
use crate::ports::github::{GitHubRunner, RunnerScope};
use crate::ports::{Failure, GitHub, Ledger, RunnerHomes, Tools};
use std::collections::BTreeSet;

/// The ports of a look.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    pub homes: &'a dyn RunnerHomes,
    pub tools: &'a dyn Tools,
    pub github: &'a dyn GitHub,
    /// The ledger of jitgate's runners; none if the store cannot be read.
    pub ledger: Option<&'a dyn Ledger>,
}

/// The runners to look at.
#[derive(Debug, Clone)]
pub struct Subject {
    pub scope: RunnerScope,
    pub place: Place,
    /// The page of the place.
    pub url: String,
    /// The names of runners that should be online.
    pub base: Vec<String>,
    /// The prefix of the names of jitgate's runners, which is used without a ledger.
    pub prefix: String,
    pub rules: Rules,
}

/// The state of the runners.
#[derive(Debug)]
pub struct Look {
    pub local: Vec<LocalRunner>,
    pub runners: Vec<ListedRunner>,
    pub assessment: Assessment,
}

/// The failure of a look.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    GitHub(Failure),
    #[error(transparent)]
    Units(#[from] UnitsError),
    #[error(transparent)]
    Store(Failure),
}

/// Looks at the services of this machine and at GitHub's inventory.
///
/// # Errors
/// If GitHub, systemd or the store does not answer.
pub async fn look(ports: Ports<'_>, subject: &Subject) -> Result<Look, LookError> {
    let listed = ports.github.runners(&subject.scope).await.map_err(LookError::GitHub)?;
    let local = units::local_runners(ports.tools, ports.homes, &subject.place, &subject.url).await?;
    let ours = ours(ports.ledger, &subject.prefix, &listed)
        .await
        .map_err(LookError::Store)?;
    let runners: Vec<ListedRunner> = listed.into_iter().map(ListedRunner::from).collect();
    let seen = Seen {
        local: &local,
        runners: &runners,
        base: &subject.base,
        ours: &ours,
    };
    let assessment = assess(seen, &subject.rules);
    Ok(Look {
        local,
        runners,
        assessment,
    })
}

/// Returns the names of jitgate's runners in the inventory.
async fn ours(ledger: Option<&dyn Ledger>, prefix: &str, listed: &[GitHubRunner]) -> Result<BTreeSet<String>, Failure> {
    let mut ours = BTreeSet::new();
    for runner in listed {
        let is_ours = match ledger {
            Some(ledger) => ungated::is_ours(ledger, runner).await?,
            None => is_of_prefix(&runner.name, prefix),
        };
        if is_ours {
            ours.insert(runner.name.clone());
        }
    }
    Ok(ours)
}

impl From<GitHubRunner> for ListedRunner {
    fn from(runner: GitHubRunner) -> Self {
        Self {
            id: runner.id,
            name: runner.name,
            is_online: runner.online,
            is_busy: runner.busy,
            labels: runner.labels,
        }
    }
}
