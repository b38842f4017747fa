//! The failure of a command because of GitHub, with the remedy for each class of failures.

use super::exit::{Exit, Failure};
use crate::ports;
use anyhow::anyhow;

/// Returns the failure of a command. `what` is the action that failed, and `refused` is the remedy for a refusal.
pub(super) fn of_github(what: &str, failure: &ports::Failure, refused: &str) -> Failure {
    let remedy = match failure {
        ports::Failure::Permanent(_) => refused.to_owned(),
        ports::Failure::RateLimited { .. } | ports::Failure::Transient(_) => when_it_passes(failure),
    };
    Failure::new(Exit::Github, anyhow!("{what}: {failure}")).remedy(remedy)
}

/// Returns the remedy for a failure that may pass.
pub(super) fn when_it_passes(failure: &ports::Failure) -> String {
    match failure {
        ports::Failure::RateLimited { until, .. } => format!("run the command again after {until}, the end of the limit"),
        ports::Failure::Transient(_) | ports::Failure::Permanent(_) => {
            "check the network, github.api_url, github.proxy and https://www.githubstatus.com, then run the command again"
                .to_owned()
        }
    }
}
