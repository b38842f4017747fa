//! `jitgate incident report`: an incident as Markdown. All text in it is inert, so that a report in a chat or an issue
//! contains no mention and no link.

use crate::app::incidents;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::time;
use crate::domain::alert::inert;
use crate::domain::incident::{Incident, JobEvidence};
use anyhow::anyhow;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

/// Maximum length of a cell, in characters.
const MAX_CELL: usize = 600;

/// Arguments of `incident report`.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Id of the incident, or a unique prefix of the id
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
    /// File to write the report to; by default the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn id(text: &str) -> Result<String, String> {
    let is_plain = (4..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let error = || "expected an id of 16 hexadecimal digits, or at least its first 4".to_owned();
    is_plain.then(|| text.to_ascii_lowercase()).ok_or_else(error)
}

pub(super) async fn run(args: Report, session: &Session) -> Outcome {
    let ledger = session.store()?.ledger.as_ref();
    let found = incidents::find(ledger, &args.id).await.map_err(Failure::of_store)?;
    let incident = match found.as_slice() {
        [incident] => incident,
        [] => {
            let error = anyhow!("unknown incident {}", args.id);
            return Err(Failure::new(Exit::Negative, error).remedy("see `jitgate incident list`"));
        }
        _ => {
            let error = anyhow!("the prefix {} matches several incidents", args.id);
            return Err(Failure::new(Exit::Usage, error).remedy("use a longer prefix; see `jitgate incident list`"));
        }
    };
    let decisions = incidents::decisions(ledger, incident).await;
    let decisions = decisions.map_err(Failure::of_store)?;
    let text = match session.global.json {
        true => format!("{:#}\n", json!({"incident": incident, "decisions": decisions})),
        false => markdown(incident, &decisions),
    };
    match &args.out {
        None => output::print(|out| out.write_all(text.as_bytes()))?,
        Some(path) => output::write_file(path, &text)?,
    }
    Ok(Exit::Done)
}

fn markdown(incident: &Incident, decisions: &[JobEvidence]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    write(&mut text, incident, decisions).unwrap_or_default();
    text
}

fn write(text: &mut String, incident: &Incident, decisions: &[JobEvidence]) -> std::fmt::Result {
    writeln!(text, "# Incident {}: {}\n", incident.id, incident.kind.as_str())?;
    writeln!(text, "{}\n", cell(&incident.summary))?;
    table(text, ["Fact", "Value"], facts(incident))?;
    writeln!(text, "\n## Timeline\n")?;
    let entries = incident.timeline.iter().map(|entry| {
        let by = entry.by.as_deref().unwrap_or("unknown");
        [time(entry.at), cell(&entry.what), cell(by)]
    });
    table(text, ["Time", "Event", "By"], entries)?;
    writeln!(text, "\n## Evidence\n")?;
    for finding in &incident.findings {
        writeln!(text, "- {}", cell(finding))?;
    }
    if decisions.is_empty() && incident.findings.is_empty() {
        writeln!(text, "The ledger has no job of this incident.")?;
    } else if !decisions.is_empty() {
        if !incident.findings.is_empty() {
            writeln!(text)?;
        }
        let heading = [
            "Time",
            "Job",
            "Run",
            "Pull request",
            "Event",
            "Trust",
            "Routing",
            "Admission",
            "Actions",
        ];
        table(text, heading, decisions.iter().map(decision))?;
    }
    let mut because: Vec<&String> = decisions.iter().flat_map(|decision| &decision.because).collect();
    because.sort_unstable();
    because.dedup();
    if !because.is_empty() {
        writeln!(text, "\nReasons:\n")?;
        for reason in because {
            writeln!(text, "- {}", cell(reason))?;
        }
    }
    writeln!(text, "\n## Remedy\n\n{}.", incident.kind.advice())
}

fn facts(incident: &Incident) -> Vec<[String; 2]> {
    let person = |by: &Option<String>| by.as_deref().map_or_else(String::new, |by| format!(" by {}", cell(by)));
    let mut facts = vec![
        ("Repository", cell(&incident.repository)),
        ("State", incident.state.as_str().to_owned()),
        ("Severity", incident.severity.as_str().to_owned()),
        ("Alert", format!("{}, episode {}", incident.alert, incident.episode)),
        ("Raised", format!("{} times", incident.count)),
        ("Opened", time(incident.opened_at)),
    ];
    facts.push((
        "Acknowledged",
        incident.acknowledged_at.map_or_else(
            || "no".to_owned(),
            |at| format!("{}{}", time(at), person(&incident.acknowledged_by)),
        ),
    ));
    facts.extend(incident.escalations.iter().map(|escalation| {
        let to = escalation.to.as_deref().unwrap_or("all receivers");
        let (at, since) = (time(escalation.at), time(escalation.since));
        let words = escalation.overdue.in_words();
        ("Escalated", format!("{at} to {}: {words} {since}", cell(to)))
    }));
    let how = incident.safe_how.as_deref().unwrap_or_default();
    facts.push((
        "Safe routing state",
        incident.safe_at.map_or_else(
            || "no".to_owned(),
            |at| format!("{}{}: {}", time(at), person(&incident.safe_by), cell(how)),
        ),
    ));
    facts.push((
        "Closed",
        incident.closed_at.map_or_else(
            || "no".to_owned(),
            |at| format!("{}{}", time(at), person(&incident.closed_by)),
        ),
    ));
    facts
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect()
}

fn decision(evidence: &JobEvidence) -> [String; 9] {
    let dash = || "-".to_owned();
    let author = evidence
        .author
        .as_deref()
        .map_or_else(String::new, |by| format!(" by {by}"));
    let attempt = evidence
        .attempt
        .map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
    let or_dash = |text: &str| if text.is_empty() { dash() } else { cell(text) };
    [
        evidence.at.map_or_else(dash, time),
        cell(format!("{} {}", evidence.job, evidence.name).trim()),
        evidence.run.map_or_else(dash, |run| format!("{run}{attempt}")),
        evidence
            .pull_request
            .map_or_else(dash, |number| cell(&format!("{number}{author}"))),
        or_dash(&evidence.event),
        or_dash(&evidence.trust),
        or_dash(&evidence.routing),
        or_dash(&evidence.admission),
        or_dash(&evidence.actions.join(", ")),
    ]
}

fn table<const N: usize>(
    text: &mut String,
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> std::fmt::Result {
    writeln!(text, "| {} |\n|{}", heading.join(" | "), "---|".repeat(N))?;
    for row in rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    Ok(())
}

fn cell(text: &str) -> String {
    inert(text, MAX_CELL)
}
