//! `jitgate delivery recover`: one search for deliveries that never arrived.

use super::filter::Since;
use crate::app::recovery::log::{self, LogOptions, LogReport};
use crate::app::recovery::poll::{self, PollOptions, PollReport};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::{output, table};
use crate::ports;
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The name of the instance of this command, which makes no runners.
const INSTANCE: &str = "recover";
/// Number of attempts in the log, requests or runs between two lines of progress.
const PROGRESS_STEP: usize = 100;

pub(super) async fn run(session: &Session, since: Option<Since>, is_dry: bool) -> Outcome {
    let (config, store) = (session.config()?, session.store()?);
    // Checks the credentials.
    let github = session.github()?;
    let ctx = runtime::build_context(config, &session.clock, store, None, INSTANCE, Arc::new(()))?;
    let options = LogOptions {
        since: since.map(|since| since.before(session.clock.now())),
        is_dry,
    };
    let progress = Progress::new();
    let has_log = github.has_delivery_log();
    let log = if has_log {
        let shown = |report: &LogReport| progress.show("attempts read", report.attempts + report.asked);
        log::pass(&ctx, options, &shown).await.map(Some)
    } else {
        Ok(None)
    };
    let shown = |report: &PollReport| progress.show("runs polled", report.runs);
    let options = PollOptions {
        is_dry,
        asks_for_all: true,
    };
    let poll = poll::pass(&ctx, options, &shown).await;
    // Without the log the poll counts all the more, and the other way round.
    let done = (log.as_ref().ok().cloned().flatten(), poll.as_ref().ok().cloned());
    let asked = done.0.as_ref().map_or(0, |log| log.asked);
    if asked + done.1.as_ref().map_or(0, |poll| poll.synthesized) == 0 {
        session.note_unchanged();
    }
    session.answer(&json!({"log": done.0, "poll": done.1, "dry_run": is_dry}), |out| {
        print(out, done.0.as_ref(), done.1.as_ref(), is_dry)
    })?;
    log.map_err(|failure| refused(&failure))?;
    poll.map_err(|failure| refused(&failure))?;
    if has_log {
        return Ok(Exit::Done);
    }
    let what = anyhow!("the delivery log cannot be read with a token; only runs were polled");
    Err(Failure::new(Exit::Configuration, what)
        .remedy("set github.app_id with github.private_key_file, and remove github.token_file"))
}

fn refused(failure: &ports::Failure) -> Failure {
    let refused = "check the credentials and the permissions of the app with `jitgate verify`";
    Failure::of_github(anyhow!("{failure}"), failure, refused)
}

fn print(out: &mut dyn Write, log: Option<&LogReport>, poll: Option<&PollReport>, is_dry: bool) -> io::Result<()> {
    let asked = if is_dry { "to be requested" } else { "requested again" };
    let made = if is_dry { "to be synthesized" } else { "synthesized" };
    if let Some(log) = log {
        let since = log.since.map(table::time).unwrap_or_default();
        writeln!(out, "delivery log since {since}: {} attempts", log.attempts)?;
        writeln!(out, "  never arrived    {}", log.missed)?;
        writeln!(out, "  {asked:<16} {}", log.asked)?;
        writeln!(out, "  on their way     {}", log.in_flight)?;
        writeln!(out, "  too old          {}", log.too_old)?;
        writeln!(out, "  given up         {}", log.given_up)?;
    }
    if let Some(poll) = poll {
        writeln!(out, "runs: {} polled, {} jobs that could be ours", poll.runs, poll.jobs)?;
        writeln!(out, "  events {made}: {}", poll.synthesized)?;
    }
    Ok(())
}

/// Progress on a terminal.
struct Progress {
    is_shown: bool,
    next: AtomicUsize,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
            next: AtomicUsize::new(PROGRESS_STEP),
        }
    }

    fn show(&self, what: &str, count: usize) {
        if self.is_shown && count >= self.next.load(Ordering::Relaxed) {
            output::report(&format!("{count} {what}"));
            self.next.store(count + PROGRESS_STEP, Ordering::Relaxed);
        }
    }
}
