//! `jitgate internal hook`: runs inside an environment, right before the first step of a job. What it prints is in the
//! job's log.

use crate::adapters::hosts::slots;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::domain::slot::Hello;
use std::path::Path;
use std::str::FromStr;

pub(super) fn run(socket: &Path) -> Outcome {
    output::complain("jitgate: asking whether this job may run here");
    let hello = Hello {
        repository: variable("GITHUB_REPOSITORY"),
        run_id: variable("GITHUB_RUN_ID"),
        run_attempt: variable("GITHUB_RUN_ATTEMPT"),
    };
    match slots::ask_gate(socket, &hello) {
        Ok(()) => {
            output::complain("jitgate: it may");
            Ok(Exit::Done)
        }
        Err(error) => {
            output::complain(&format!("jitgate: {error}"));
            Ok(Exit::Negative)
        }
    }
}

/// What the runner says of the job; none when it says nothing that makes sense.
#[expect(
    clippy::disallowed_methods,
    reason = "what actions/runner tells its hooks is in the environment"
)]
fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
