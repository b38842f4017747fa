//! Prints findings, one per line.

use crate::domain::finding::{Finding, Severity, Subject};
use crate::telemetry::one_line;
use std::io::{self, Write};

pub(super) fn print(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    findings
        .iter()
        .try_for_each(|finding| writeln!(out, "{}", line(finding)))
}

fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Ok => "ok",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Problem => "problem",
    };
    let subject = match finding.subject {
        Subject::Configuration => "configuration",
        Subject::Store => "store",
        Subject::Github => "GitHub",
        Subject::Repository => "repository",
        Subject::Host => "host",
        Subject::Process => "process",
    };
    let mut line = format!("{severity:<8} {subject:<14} {}", one_line(&finding.what));
    if let Some(remedy) = &finding.remedy {
        line.push_str("; remedy: ");
        line.push_str(&one_line(remedy));
    }
    line
}
