//! What jitgate can start itself as.

use super::{hook, keep, worker};
use crate::cli::exit::Outcome;
use clap::Subcommand;
use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments of `internal`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As what.
    #[command(subcommand)]
    pub part: Part,
}

/// As what.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Keep the environment in a slot's folder; the order comes over stdin
    Keep {
        /// Folder of the slot
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Ask a job gate whether the job of this environment may begin
    Hook {
        /// Socket of the gate
        #[arg(value_name = "SOCKET")]
        socket: PathBuf,
    },
    /// Ask a job gate, then become the worker of the runner program
    Worker {
        /// Socket of the gate
        #[arg(value_name = "SOCKET")]
        socket: PathBuf,
        /// The real worker
        #[arg(value_name = "PROGRAM")]
        program: PathBuf,
        /// What it is started with
        #[arg(value_name = "WORD", last = true)]
        words: Vec<OsString>,
    },
}

/// Runs `internal`.
pub(in crate::cli) fn run(args: Args) -> Outcome {
    match args.part {
        Part::Keep { folder } => keep::run(&folder),
        Part::Hook { socket } => hook::run(&socket),
        Part::Worker { socket, program, words } => worker::run(&socket, &program, &words),
    }
}
