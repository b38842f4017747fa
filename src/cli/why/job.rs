//! `jitgate why JOB_ID`: the history of a job, and the reasons why it got a runner or none.

use crate::app::jobs::history::{self, HistoryEntry, JobHistory, Wait};
use crate::app::records::{RETENTION_OF_OUTSIDERS, RunnerRecord};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table::{exact_time, or_dash, time};
use crate::domain::decision::{Action, Decision};
use crate::domain::ids::JobId;
use crate::domain::proof::ProvenStep;
use crate::domain::reason::{self, Reason};
use crate::ports::queue::Delivery;
use crate::telemetry::one_line;
use anyhow::anyhow;
use serde::Serialize;

/// Runs `why JOB_ID`.
pub(super) async fn run(job: JobId, session: &Session) -> Outcome {
    let store = session.store()?;
    let told = history::of_job(store.queue.as_ref(), store.ledger.as_ref(), job).await;
    let Some(story) = told.map_err(Failure::of_store)? else {
        let error = anyhow!("job {job} is unknown");
        return Err(Failure::new(Exit::Negative, error).remedy(format!(
            "check whether GitHub delivered it: `jitgate delivery list --job {job}`, and Settings, Webhooks, Recent \
             Deliveries; the record of a job that was never trusted is deleted {} h after its end, or earlier if there are \
             many",
            RETENTION_OF_OUTSIDERS.as_secs() / 3600
        )));
    };
    let lines = lines(job, &story);
    session.answer(&story, |out| {
        lines.iter().try_for_each(|line| writeln!(out, "{}", one_line(line)))
    })?;
    Ok(Exit::Done)
}

fn lines(job: JobId, story: &JobHistory) -> Vec<String> {
    let mut lines = Vec::new();
    match &story.newest {
        None => lines.push(format!("job {job}")),
        Some(newest) => {
            let about = &newest.job;
            lines.push(format!("job {job}  {}  of {}", about.name, newest.repository));
            lines.push(fact("run", format!("{}, attempt {}", about.run_id, about.run_attempt)));
            lines.push(fact("commit", &about.head_sha));
            lines.push(fact("asks for", list(&about.labels)));
        }
    }
    lines.push(fact("progress", word(&story.progress)));
    lines.push(fact("service", word(&story.service)));
    if let Some(wait) = &story.waits {
        lines.push(fact("waits for", waits_for(wait)));
    }
    lines.push(fact("runner", or_dash(story.runner.as_ref().map(runner))));
    lines.push(String::new());
    lines.push("what happened".to_owned());
    for moment in &story.timeline {
        lines.push(format!("  {}  {}", time(moment.at), moment.what));
    }
    for proof in &story.proofs {
        lines.push(String::new());
        lines.push(format!("proof of runner {}", proof.runner));
        lines.extend(proof.steps.iter().map(proven));
    }
    for entry in &story.history {
        lines.push(String::new());
        lines.push(heading(entry));
        lines.extend(decision_lines(&entry.decision, &entry.pending));
    }
    if story.is_shrunk {
        lines.push(String::new());
        lines.push("the job has ended and was never trusted, so the rest of its record is deleted".to_owned());
    }
    for delivery in &story.undecided {
        lines.push(String::new());
        lines.push(undecided(delivery));
    }
    lines
}

/// Returns a step as one line.
fn proven(step: &ProvenStep) -> String {
    let text = match (step.at, &step.missing) {
        (Some(at), _) => exact_time(at),
        (None, Some(why)) => format!("missing: {why}"),
        (None, None) => "missing".to_owned(),
    };
    format!("  {:<13}{text}", step.step.as_str())
}

fn heading(entry: &HistoryEntry) -> String {
    let decision = &entry.decision;
    let (at, action) = (time(decision.received_at), decision.action.as_str());
    if entry.is_of_the_gate() {
        return format!("{at}  asked at the job gate");
    }
    let action = if decision.synthesized {
        format!("{action} (synthesized)")
    } else {
        action.to_owned()
    };
    let standing = entry.queue.as_ref().map_or_else(|| "forgotten".to_owned(), standing);
    format!("{at}  {action}  delivery {}: {standing}", decision.delivery)
}

fn waits_for(wait: &Wait) -> String {
    let size = wait
        .size
        .as_ref()
        .map_or_else(String::new, |size| format!(" of size {size}"));
    let mut text = match (&wait.runner, wait.reasons.as_slice()) {
        (Some(runner), _) => format!("runner {runner}"),
        (None, []) => format!("a free slot{size}"),
        (None, [Reason::AtCapacity]) => format!("a free slot{size} (all are in use)"),
        (None, reasons) => format!("another decision ({})", reason::join(reasons)),
    };
    text.push_str(&format!(", since {}", time(wait.since)));
    if let Some(until) = wait.not_before {
        text.push_str(&format!(", not before {}", time(until)));
    }
    text
}

fn undecided(delivery: &Delivery) -> String {
    let action = or_dash(delivery.action.map(|action| action.as_str()));
    let at = time(delivery.received_at);
    format!(
        "{at}  {action}  delivery {}: {}, no decision yet",
        delivery.id,
        standing(delivery)
    )
}

fn standing(delivery: &Delivery) -> String {
    let tries = if delivery.attempts == 1 { "try" } else { "tries" };
    let mut text = format!("{} after {} {tries}", delivery.state.as_str(), delivery.attempts);
    if let Some(due) = delivery.due_at {
        text.push_str(&format!(", next at {}", time(due)));
    }
    if let Some(cause) = &delivery.cause {
        text.push_str(&format!(" ({cause})"));
    }
    text
}

/// Returns a decision as text, with one line per part.
pub(in crate::cli) fn decision_lines(decision: &Decision, pending: &[Action]) -> Vec<String> {
    let trust = &decision.trust;
    let mut verdict = trust.verdict.as_str().to_owned();
    if let Some(number) = trust.pull_request {
        verdict.push_str(&format!(", pull request #{number}"));
    }
    if let Some(author) = &decision.author {
        verdict.push_str(&format!(" by {author}"));
    }
    let routing = format!(
        "{} (routing is {})",
        decision.routing.verdict.as_str(),
        word(&decision.routing.state)
    );
    let admission = &decision.admission;
    let mut decided = time(decision.decided_at);
    if decision.synthesized {
        decided.push_str(", from polling GitHub: its delivery did not arrive");
    }
    let mut trusted = because(&verdict, &trust.reasons);
    if decision.own_rerun {
        trusted.push_str(", in an attempt that jitgate started after a job was lost");
    }
    let mut lines = vec![
        fact("decided", decided),
        fact("labels", decision.labels_class.as_str()),
        fact("trust", trusted),
        fact("routing", routing),
        fact("admission", because(admission.verdict.as_str(), &admission.reasons)),
        fact("actions", list(&decision.actions)),
    ];
    for reason in decision.reasons() {
        if let Some((explanation, remedy)) = reason.explanation().zip(reason.remedy()) {
            lines.push(fact("because", format!("{reason}: {explanation}")));
            lines.push(fact("", format!("remedy: {remedy}")));
        }
    }
    if !pending.is_empty() {
        lines.push(fact("to be done", list(pending)));
    }
    if !decision.would.is_empty() {
        lines.push(fact(
            "would do",
            format!("{} (rollout.mode is observe)", list(&decision.would)),
        ));
    }
    lines.extend(decision.warnings.iter().map(|warning| fact("warning", warning)));
    lines
}

fn because(verdict: &str, reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        verdict.to_owned()
    } else {
        format!("{verdict}: {}", reason::join(reasons))
    }
}

fn runner(runner: &RunnerRecord) -> String {
    let id = runner.id.map_or_else(String::new, |id| format!(", id {id}"));
    let size = runner
        .size
        .as_ref()
        .map_or_else(String::new, |size| format!(", size {size}"));
    format!("{}, {}{id}{size}", runner.name, word(&runner.state))
}

fn fact(name: &str, value: impl std::fmt::Display) -> String {
    format!("  {name:<11}{value}")
}

/// Returns values in words.
pub(super) fn list(values: &[impl ToString]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the word of a value in JSON.
pub(super) fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
