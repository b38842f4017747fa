//! `jitgate runner list`: the runners in the ledger.

use crate::app::runners::list::{self, ListedJob, ListedRunner, RunnerFilter, RunnerList};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::list::ListArgs;
use crate::cli::session::Session;
use crate::cli::table::{self, exact_time, or_dash, time};
use crate::domain::proof::ProvenStep;
use crate::domain::runner::{Outcome as Ending, RunnerState};
use crate::domain::slot::KeptDisk;
use crate::domain::text::one_of;
use crate::telemetry::one_line;
use std::io::{self, Write};

/// Arguments of `runner list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// State of the runners; can be repeated. Waiting jobs are then not listed
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<RunnerState>,
    #[command(flatten)]
    list: ListArgs,
    /// Include destroyed runners, and show the steps of each runner with their times
    #[arg(long)]
    all: bool,
}

fn state(word: &str) -> Result<RunnerState, String> {
    one_of(&RunnerState::ALL, RunnerState::as_str, word)
}

/// Runs `runner list`.
pub(super) async fn run(args: List, session: &Session) -> Outcome {
    let filter = RunnerFilter {
        states: args.states,
        repository: args.list.repository.clone(),
        all: args.all,
        limit: args.list.limit,
    };
    let ledger = session.store()?.ledger.as_ref();
    let list = list::list_runners(ledger, &filter).await.map_err(Failure::of_store)?;
    let count = list.runners.len().max(list.waiting.len());
    let all = args.all;
    args.list.print(session, &list, count, |out| print(out, &list, all))
}

fn print(out: &mut dyn Write, list: &RunnerList, with_proofs: bool) -> io::Result<()> {
    let heading = ["NAME", "STATE", "OUTCOME", "REPOSITORY", "JOB", "SIZE", "SINCE", "ID"];
    table::print(out, heading, list.runners.iter().map(runner))?;
    if !list.waiting.is_empty() {
        writeln!(out)?;
        let heading = ["WAITING JOB", "REPOSITORY", "SIZE", "SINCE", "NOT BEFORE", "RUNNER"];
        table::print(out, heading, list.waiting.iter().map(waiting))?;
    }
    if with_proofs {
        for listed in &list.runners {
            writeln!(out)?;
            writeln!(out, "PROOF OF {}", one_line(&listed.runner.name))?;
            table::print(out, ["STEP", "AT", "MISSING"], listed.proof.iter().map(proven))?;
        }
    }
    for disk in &list.kept_disks {
        writeln!(out)?;
        kept(out, disk)?;
    }
    Ok(())
}

/// Writes one line for each property, because a path must not be shortened.
fn kept(out: &mut dyn Write, disk: &KeptDisk) -> io::Result<()> {
    writeln!(out, "KEPT DISK OF {}", one_line(&disk.slot))?;
    writeln!(out, "runner   {}", one_line(&or_dash(disk.runner.as_ref())))?;
    writeln!(out, "path     {}", one_line(&disk.path))?;
    writeln!(out, "size     {}", size(disk.bytes))?;
    writeln!(out, "removal  {}", time(disk.until))
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

fn proven(step: &ProvenStep) -> [String; 3] {
    [
        step.step.as_str().to_owned(),
        or_dash(step.at.map(exact_time)),
        or_dash(step.missing.as_ref()),
    ]
}

fn runner(listed: &ListedRunner) -> [String; 8] {
    let runner = &listed.runner;
    [
        runner.name.clone(),
        runner.state.as_str().to_owned(),
        or_dash(runner.outcome.map(Ending::as_str)),
        runner.repository.to_string(),
        runner.job.to_string(),
        or_dash(runner.size.as_ref()),
        or_dash(listed.since.map(time)),
        or_dash(runner.id),
    ]
}

fn waiting(waiting: &ListedJob) -> [String; 6] {
    [
        waiting.job.to_string(),
        waiting.repository.to_string(),
        or_dash(waiting.size.as_ref()),
        time(waiting.since),
        or_dash(waiting.not_before.map(time)),
        or_dash(waiting.holder.as_ref()),
    ]
}
