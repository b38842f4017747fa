//! The findings of `verify` as an exit code and as one sentence.

use crate::cli::exit::Exit;
use crate::domain::finding::{Finding, Severity, Subject};

/// The exit code of the first problem.
pub(super) fn exit(found: &[Finding]) -> Exit {
    let first = found.iter().find(|finding| finding.is_problem());
    match first.map(|finding| finding.subject) {
        None => Exit::Done,
        Some(Subject::Repository | Subject::Process) => Exit::Negative,
        Some(Subject::Configuration) => Exit::Configuration,
        Some(Subject::Github) => Exit::Github,
        Some(Subject::Store) => Exit::Store,
        Some(Subject::Host) => Exit::RunnerHost,
    }
}

/// Says whether jobs can be served, and counts problems and warnings.
pub(super) fn summary(found: &[Finding]) -> String {
    let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let unknown = match count(Severity::Unknown) {
        0 => String::new(),
        unknown => format!(", {unknown} unknown"),
    };
    let answer = if problems == 0 {
        "set up to serve jobs"
    } else {
        "not set up to serve jobs"
    };
    format!(
        "{answer}: {}, {}{unknown}",
        counted(problems, "problem"),
        counted(warnings, "warning")
    )
}
