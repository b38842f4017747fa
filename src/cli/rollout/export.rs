//! `jitgate rollout export`: writes the measured runs of the store as a file for `rollout simulate`.

use super::{history_file, recording};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::one_repository::OneRepository;
use crate::cli::output;
use crate::cli::session::Session;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Arguments of `rollout export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file contains the newest measured runs with the times, the routing verdict and the outcome of
each job, and the counts of all other routing verdicts. It contains no names of people, branches or
jobs, and no secret. docs/rollout-history.md describes it.

Examples:
  jitgate rollout export --out history.json
  jitgate rollout export --repo octo-org/chem-model --limit 500 | jitgate rollout simulate -

Exit codes: 0 the file is written; 5 the store; 8 no run is recorded."
)]
pub struct Args {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Maximum number of runs; the newest ones are written
    #[arg(long, value_name = "N", default_value = "1000")]
    pub limit: NonZeroU32,
    /// File; stdout by default
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Runs `rollout export`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let limit = usize::try_from(args.limit.get()).unwrap_or(usize::MAX);
    let recording = recording::of_ledger(session, &args.which, limit).await?;
    let text = history_file::render(&recording).map_err(|error| Failure::new(Exit::Bug, error))?;
    match &args.out {
        None => output::print(|out| out.write_all(text.as_bytes()))?,
        Some(path) => write(path, &text, recording.runs.len())?,
    }
    Ok(if recording.runs.is_empty() {
        Exit::TooLittleData
    } else {
        Exit::Done
    })
}

fn write(path: &Path, text: &str, runs: usize) -> Result<(), Failure> {
    output::write_file(path, text)?;
    output::report(&format!(
        "jitgate: wrote {runs} runs to {}; replay them with `jitgate rollout simulate`",
        path.display()
    ));
    Ok(())
}
