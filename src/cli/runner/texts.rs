//! The texts and the environment that the commands about own runners share.

use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, sources};
use crate::domain::base_runner::problem::Problem;
use crate::ports;
use std::ffi::OsString;

/// Variables that a runner program and its jobs receive.
const PASSED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUNNER_ALLOW_RUNASROOT",
];
/// Prefixes of such variables.
const PASSED_PREFIXES: [&str; 3] = ["LC_", "DOTNET_", "ACTIONS_RUNNER_"];
/// Variables with this prefix are inputs of the runner program, which jitgate sets itself.
const INPUT_PREFIX: &str = "ACTIONS_RUNNER_INPUT_";

/// Returns the environment for a runner program. It contains no token.
pub(super) fn environment() -> Vec<(String, OsString)> {
    sources::variables(|name| {
        let has_prefix = PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        (PASSED.contains(&name) || has_prefix) && !name.starts_with(INPUT_PREFIX)
    })
}

/// Returns the failure of a request to GitHub. `what` is the action that failed.
pub(super) fn of_github(what: &str, failure: &ports::Failure) -> Failure {
    Failure::of_github(
        anyhow::anyhow!("{what}: {failure}"),
        failure,
        "check the repository's name, and that the app or token may administer its runners (repository: Administration \
         write; organization: Self-hosted runners write); --token-source selects other credentials",
    )
}

/// Returns the failure of the runner host for a problem.
pub(super) fn of_host(problem: &Problem) -> Failure {
    let error = anyhow::anyhow!("{}: {}", problem.subject, problem.what);
    Failure::new(Exit::RunnerHost, error).remedy(problem.remedy.clone())
}

/// Prints a warning with its remedy.
pub(super) fn warn(what: &str, remedy: &str) {
    output::report(&format!("jitgate: warning: {what}\njitgate: remedy: {remedy}"));
}
