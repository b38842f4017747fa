//! `jitgate runner list`.

use crate::app::runners::list::{self, Asked, LISTED, LISTED_AT_MOST, Listed, Roster, Waiting};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::table::{or_dash, time};
use crate::cli::{output, store, table};
use crate::domain::runner::{Outcome as Ending, RunnerState};
use crate::runtime::Store;
use std::io::{self, Write};

/// Arguments of `runner list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// In this state; can be given more than once. Jobs that wait are left out then
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<RunnerState>,
    /// Of this repository
    #[arg(long, visible_alias = "repo", value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Also those of which nothing is left
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = LISTED, value_parser = limit)]
    limit: usize,
}

fn state(word: &str) -> Result<RunnerState, String> {
    RunnerState::parse(word).ok_or_else(|| {
        let words = RunnerState::ALL.map(RunnerState::as_str);
        format!("give one of {}", words.join(", "))
    })
}

fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=LISTED_AT_MOST).contains(number));
    number.ok_or_else(|| format!("give a number from 1 to {LISTED_AT_MOST}"))
}

pub(super) async fn run(store: &Store, args: Args, global: &Global) -> Outcome {
    let asked = Asked {
        states: args.states,
        repository: args.repository,
        all: args.all,
        limit: args.limit,
    };
    let roster = list::call(store.ledger.as_ref(), &asked).await.map_err(store::failed)?;
    if global.json {
        output::print_json(&roster)?;
        return Ok(Exit::Done);
    }
    output::print(|out| print(out, &roster))?;
    let limit = asked.limit;
    if roster.runners.len() == limit || roster.waiting.len() == limit {
        output::complain(&format!("jitgate: there may be more than these {limit}: see --limit"));
    }
    Ok(Exit::Done)
}

fn print(out: &mut dyn Write, roster: &Roster) -> io::Result<()> {
    let heading = ["NAME", "STATE", "OUTCOME", "REPOSITORY", "JOB", "SINCE", "ID"];
    table::print(out, heading, roster.runners.iter().map(runner))?;
    if roster.waiting.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let heading = ["WAITING JOB", "REPOSITORY", "SINCE", "NOT BEFORE", "RUNNER"];
    table::print(out, heading, roster.waiting.iter().map(waiting))
}

fn runner(listed: &Listed) -> [String; 7] {
    let runner = &listed.runner;
    [
        runner.name.clone(),
        runner.state.as_str().to_owned(),
        or_dash(runner.outcome.map(Ending::as_str)),
        runner.repository.to_string(),
        runner.job.to_string(),
        or_dash(listed.since.map(time)),
        or_dash(runner.id),
    ]
}

fn waiting(waiting: &Waiting) -> [String; 5] {
    [
        waiting.job.to_string(),
        waiting.repository.to_string(),
        time(waiting.since),
        or_dash(waiting.not_before.map(time)),
        or_dash(waiting.holder.as_ref()),
    ]
}
