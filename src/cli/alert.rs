//! `jitgate alert`: lists alerts, and acknowledges and resolves them. The process that serves on the same store sends the
//! changes to the sinks.

use super::changes::{Asked, recorded};
use super::exit::{Exit, Failure, Outcome};
use super::list::ListArgs;
use super::output;
use super::person::Person;
use super::session::Session;
use super::table::{self, or_dash, time};
use crate::app::Alerts;
use crate::app::alerts::{AlertFilter, Settled};
use crate::domain::alert::{Alert, AlertKind, AlertState};
use crate::domain::text::one_of;
use crate::telemetry::one_line;
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// Arguments of `alert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate alert list
  jitgate alert ack 1f0c7a --by alice
  jitgate alert resolve 1f0c7a --by alice")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `alert`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List alerts with their remedies, latest first
    #[command(after_help = "Examples:
  jitgate alert list
  jitgate alert list --state open --kind stolen-runner
  jitgate alert list --state resolved --repository octo-org/chem-model --json")]
    List(List),
    /// Acknowledge alerts
    #[command(after_help = "Examples:\n  jitgate alert ack 1f0c7a --by alice")]
    Ack(Which),
    /// Resolve alerts. An alert opens again if its cause occurs again
    #[command(after_help = "Examples:\n  jitgate alert resolve 1f0c7a 83b2d90c55aa01ef --by alice")]
    Resolve(Which),
}

/// Arguments of `alert list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// State of the alerts: open, acked or resolved; can be repeated. By default open and acked
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<AlertState>,
    /// Kind of the alerts; can be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<AlertKind>,
    #[command(flatten)]
    list: ListArgs,
}

/// The selection of alerts, and the person.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Ids of the alerts, or unique prefixes of the ids
    #[arg(value_name = "ID", required = true, value_parser = id)]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub person: Person,
}

impl Which {
    fn asked(&self, command: &'static str) -> Asked {
        Asked {
            command,
            subject: Asked::of_many(&self.ids),
            person: self.person.clone(),
            is_dry: false,
        }
    }
}

fn state(word: &str) -> Result<AlertState, String> {
    one_of(&AlertState::ALL, AlertState::as_str, word)
}

fn kind(word: &str) -> Result<AlertKind, String> {
    one_of(AlertKind::ALL, AlertKind::as_str, word)
}

fn id(text: &str) -> Result<String, String> {
    let is_plain = (4..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let error = || "expected an id of 16 hexadecimal digits, or at least its first 4".to_owned();
    is_plain.then(|| text.to_ascii_lowercase()).ok_or_else(error)
}

/// Runs `alert`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    match args.command {
        Command::List(args) => list(args, session).await,
        Command::Ack(which) => recorded(session, which.asked("alert ack"), settle(session, Says::Ack, &which)).await,
        Command::Resolve(which) => {
            let asked = which.asked("alert resolve");
            recorded(session, asked, settle(session, Says::Resolve, &which)).await
        }
    }
}

async fn list(args: List, session: &Session) -> Outcome {
    let mut states = args.states;
    if states.is_empty() {
        states = vec![AlertState::Open, AlertState::Acked];
    }
    let filter = AlertFilter {
        states,
        kinds: args.kinds,
        repository: args.list.repository.clone(),
    };
    let listed = session.alerts()?.list(&filter, args.list.limit).await;
    let listed = listed.map_err(Failure::of_store)?;
    let exit = args
        .list
        .print(session, &json!({"alerts": listed}), listed.len(), |out| {
            print_table(out, &listed)
        })?;
    let next_steps = advice(&listed);
    if !next_steps.is_empty() && !session.global.json {
        output::report(&next_steps.join("\n"));
    }
    Ok(exit)
}

/// Prints one line per alert.
fn print_table(out: &mut dyn Write, alerts: &[Alert]) -> io::Result<()> {
    let heading = [
        "ID",
        "STATE",
        "SEVERITY",
        "KIND",
        "REPOSITORY",
        "COUNT",
        "LAST",
        "BY",
        "JOB",
        "SUMMARY",
    ];
    let rows = alerts.iter().map(|alert| {
        [
            alert.id.clone(),
            alert.state.as_str().to_owned(),
            alert.severity.as_str().to_owned(),
            alert.kind.as_str().to_owned(),
            alert.repository.clone(),
            alert.count.to_string(),
            time(alert.last_at),
            or_dash(alert.resolved_by.as_ref().or(alert.acked_by.as_ref())),
            or_dash(alert.job_id),
            alert.summary.clone(),
        ]
    });
    table::print(out, heading, rows)?;
    // A summary is often longer than its cell in the table.
    match alerts {
        [alone] => writeln!(out, "{}", one_line(&alone.summary)),
        _ => Ok(()),
    }
}

/// Returns the remedies of the unresolved kinds, once each, and the next command.
fn advice(alerts: &[Alert]) -> Vec<String> {
    let unresolved = alerts.iter().filter(|alert| alert.state != AlertState::Resolved);
    let kinds: BTreeSet<AlertKind> = unresolved.clone().map(|alert| alert.kind).collect();
    let of_kind = |kind: AlertKind| format!("jitgate: {}: {}", kind.as_str(), kind.advice());
    let mut lines: Vec<String> = kinds.into_iter().map(of_kind).collect();
    if let Some(first) = unresolved.clone().find(|alert| alert.state == AlertState::Open) {
        lines.push(format!(
            "jitgate: acknowledge it: jitgate alert ack {} --by NAME",
            first.id
        ));
    } else if let Some(first) = unresolved.clone().next() {
        lines.push(format!(
            "jitgate: resolve it after the repair: jitgate alert resolve {} --by NAME",
            first.id
        ));
    }
    lines
}

/// The change of an alert by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Ack,
    Resolve,
}

async fn settle(session: &Session, says: Says, Which { ids, person }: &Which) -> Outcome {
    let alerts = session.alerts()?;
    let by = person.name();
    // An unknown id is an error before any change.
    let mut meant = Vec::new();
    for id in ids {
        meant.push(find(&alerts, id).await?.id);
    }
    let mut settled = Vec::new();
    for id in &meant {
        let answer = match says {
            Says::Ack => alerts.ack(id, &by).await,
            Says::Resolve => alerts.resolve(id, &by).await,
        };
        match answer.map_err(Failure::of_store)? {
            Settled::Done(alert) => settled.push(*alert),
            Settled::Over(alert) => {
                let who = alert.resolved_by.as_deref().unwrap_or("an operator");
                let error = anyhow!("alert {id} is already resolved by {who}");
                return Err(Failure::new(Exit::Negative, error)
                    .remedy("nothing to do: the alert opens again if its cause occurs again"));
            }
            Settled::Unknown => return Err(unknown(id)),
        }
    }
    session.answer(&json!({"alerts": settled}), |out| print_table(out, &settled))?;
    if says == Says::Ack && !session.global.json {
        for alert in &settled {
            let (kind, id) = (alert.kind, &alert.id);
            output::report(&format!(
                "jitgate: {}: {}; then: jitgate alert resolve {id}",
                kind.as_str(),
                kind.advice()
            ));
        }
    }
    Ok(Exit::Done)
}

/// Returns the alert with this id or prefix.
async fn find(alerts: &Alerts, id: &str) -> Result<Alert, Failure> {
    let mut found = alerts.find(id).await.map_err(Failure::of_store)?.into_iter();
    match (found.next(), found.next()) {
        (Some(alert), None) => Ok(alert),
        (Some(_), Some(_)) => Err(
            Failure::new(Exit::Usage, anyhow!("the prefix {id} matches several alerts"))
                .remedy("use a longer prefix; see `jitgate alert list`"),
        ),
        (None, _) => Err(unknown(id)),
    }
}

fn unknown(id: &str) -> Failure {
    Failure::new(Exit::Negative, anyhow!("unknown alert {id}"))
        .remedy("see `jitgate alert list`, or `jitgate alert list --state resolved`")
}
