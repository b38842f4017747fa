//! `jitgate internal`: the processes that jitgate starts beside and inside slots. They are not meant for people.

use super::exit::{Exit, Failure, Outcome};
use super::output;
use crate::adapters::clock::SystemClock;
use crate::adapters::hosts::qemu::{self, agent};
use crate::adapters::hosts::{local, slots};
use crate::domain::slot::Hello;
use clap::Subcommand;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Arguments of `internal`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub part: Part,
}

/// The internal processes.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Keep the slot in a directory; stdin contains the order
    Keep {
        /// Directory of the slot
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Ask the job gate whether the job of this slot may start
    Hook {
        /// Socket of the job gate
        #[arg(value_name = "SOCKET")]
        socket: PathBuf,
    },
    /// Ask the job gate, then become the worker of the runner program
    Worker {
        /// Socket of the job gate
        #[arg(value_name = "SOCKET")]
        socket: PathBuf,
        /// Path of the real worker
        #[arg(value_name = "PROGRAM")]
        program: PathBuf,
        /// Arguments of the real worker
        #[arg(value_name = "WORD", last = true)]
        words: Vec<OsString>,
    },
    /// Attend to a virtual machine, as its first process
    Guest {
        /// Folder that stands in for a virtual machine; stdin is the channel
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
}

/// Runs `internal`.
pub(super) fn run(args: Args) -> Outcome {
    match args.part {
        Part::Keep { folder } => keep(&folder),
        Part::Hook { socket } => ask_to_begin(&socket),
        Part::Worker { socket, program, words } => become_worker(&socket, &program, &words),
        Part::Guest { root } => attend(root.as_deref()),
    }
}

/// Runs the keeper of one slot. The path of the slot's folder names its host.
fn keep(folder: &Path) -> Outcome {
    // This thread must start the sandbox, because the sandbox ends with the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, error))?;
    let kept = if slots::host_of(folder).is_some_and(|host| host == qemu::NAME) {
        runtime.block_on(qemu::keep(folder, &SystemClock))
    } else {
        runtime.block_on(local::keep(folder, &SystemClock))
    };
    kept.map_err(|error| Failure::new(Exit::RunnerHost, error))?;
    Ok(Exit::Done)
}

/// Runs inside a slot, immediately before the first step of a job. Its output appears in the job's log.
fn ask_to_begin(socket: &Path) -> Outcome {
    output::report("jitgate: asking the job gate whether this job may run here");
    let hello = Hello {
        repository: variable("GITHUB_REPOSITORY"),
        run_id: variable("GITHUB_RUN_ID"),
        run_attempt: variable("GITHUB_RUN_ATTEMPT"),
    };
    match slots::ask_gate(socket, &hello) {
        Ok(()) => {
            output::report("jitgate: it may");
            Ok(Exit::Done)
        }
        Err(error) => {
            output::report(&format!("jitgate: {error}"));
            Ok(Exit::Negative)
        }
    }
}

/// Returns the job according to the runner; `None` if the runner names no valid job.
#[expect(
    clippy::disallowed_methods,
    reason = "actions/runner passes the data of the job in the process environment"
)]
fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Replaces the worker of the runner program, and becomes the worker after the job gate has opened.
fn become_worker(socket: &Path, program: &Path, words: &[OsString]) -> Outcome {
    let error = slots::become_worker(socket, program, words);
    output::report(&format!("jitgate: {error}"));
    Ok(Exit::Negative)
}

/// Runs the agent of a virtual machine.
fn attend(root: Option<&Path>) -> Outcome {
    let place = root.map_or_else(agent::Place::machine, agent::Place::stand_in);
    agent::attend(place).map_err(|error| Failure::new(Exit::RunnerHost, error))?;
    Ok(Exit::Done)
}
