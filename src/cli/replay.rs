//! `jitgate replay`.

use super::args::Global;
use super::exit::{Exit, Failure, Outcome};
use std::path::PathBuf;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate replay fixtures
  jitgate replay fixtures/fork-writes-our-labels.json --json
  jitgate replay fixtures --target http://127.0.0.1:8080 --admin-url http://127.0.0.1:9090 \\
      --admin-token-file jitgate-state/admin-token")]
pub struct Args {
    /// Fixtures, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Public listener of a running gate to send them to, instead of one inside this process
    #[arg(long, value_name = "URL", requires = "admin_url")]
    pub target: Option<String>,
    /// Admin listener of that gate
    #[arg(long, value_name = "URL", requires = "target")]
    pub admin_url: Option<String>,
    /// File with the bearer token of that listener
    #[arg(long, value_name = "FILE", requires = "target")]
    pub admin_token_file: Option<PathBuf>,
}

/// Runs `replay`.
pub(super) fn run(_args: Args, _global: &Global) -> Outcome {
    Err(Failure::new(Exit::Bug, anyhow::anyhow!("not built in this branch")))
}
