//! The failures of calls of an App, each with the remedy that fits GitHub's answer.

use crate::cli::exit::{Exit, Failure, when_it_passes};
use crate::domain::app::is_skewed;
use crate::ports;
use crate::ports::github_app::AppFailure;
use anyhow::anyhow;

/// Returns the failure of a command that could not do `what`.
pub(in crate::cli) fn refused(what: &str, failure: &AppFailure) -> Failure {
    let remedy = match failure {
        AppFailure::Refused { status, skew, .. } => match (status, skew) {
            (401, Some(skew)) if is_skewed(*skew) => format!(
                "correct this machine's clock, which differs from GitHub's by {} s: `timedatectl set-ntp true`",
                skew.num_seconds()
            ),
            (401, _) => "check that the app's id and its private key belong together, on the settings page of the app"
                .to_owned(),
            (403, _) => {
                "check on GitHub that the app is not suspended, and that its owner has accepted its permissions"
                    .to_owned()
            }
            (404, _) => {
                "check that the app and its installation still exist, and that github.api_url is right".to_owned()
            }
            (409, _) => "run the command again: another change was made at the same time".to_owned(),
            (422, _) => {
                "add the repositories and the permissions to the app's installation, on its settings page".to_owned()
            }
            _ => "check that github.api_url is the root of GitHub's API".to_owned(),
        },
        AppFailure::Unanswered(ports::Failure::Permanent(_)) => {
            "check the app's id and its private key with `jitgate app check`".to_owned()
        }
        AppFailure::Unanswered(failure) => when_it_passes(failure),
    };
    Failure::new(Exit::Github, anyhow!("cannot {what}: {failure}")).remedy(remedy)
}
