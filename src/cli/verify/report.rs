//! What was found, in words and as an exit code.

use crate::app::verify::{Finding, Subject, Verdict};
use crate::cli::exit::Exit;
use crate::telemetry::one_line;

/// The exit code of the first problem.
pub(super) fn exit(found: &[Finding]) -> Exit {
    let first = found.iter().find(|finding| finding.verdict == Verdict::Problem);
    match first.map(|finding| finding.subject) {
        None => Exit::Done,
        Some(Subject::Repository | Subject::Gate) => Exit::Negative,
        Some(Subject::Configuration) => Exit::Configuration,
        Some(Subject::Github) => Exit::Github,
        Some(Subject::Store) => Exit::Store,
        Some(Subject::Host) => Exit::RunnerHost,
    }
}

/// One line for people.
pub(super) fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Problem => "problem",
    };
    let subject = match finding.subject {
        Subject::Configuration => "configuration",
        Subject::Store => "store",
        Subject::Github => "GitHub",
        Subject::Repository => "repository",
        Subject::Host => "host",
        Subject::Gate => "gate",
    };
    let mut line = format!("{verdict:<8} {subject:<14} {}", one_line(&finding.what));
    if let Some(remedy) = &finding.remedy {
        line.push_str("; remedy: ");
        line.push_str(&one_line(remedy));
    }
    line
}

/// What it comes to.
pub(super) fn summary(found: &[Finding]) -> String {
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let told = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warning));
    let answer = if problems == 0 {
        "set up to serve jobs"
    } else {
        "not set up to serve jobs"
    };
    format!("{answer}: {}, {}", told(problems, "problem"), told(warnings, "warning"))
}
