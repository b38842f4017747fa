//! `jitgate simulate`.

use super::args::Global;
use super::exit::{Exit, Failure, Outcome};
use std::net::SocketAddr;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate simulate
  jitgate simulate --listen 127.0.0.1:3000")]
pub struct Args {
    /// Address to answer on; with port 0 the system chooses one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// Runs `simulate`.
pub(super) fn run(_args: Args, _global: &Global) -> Outcome {
    Err(Failure::new(Exit::Bug, anyhow::anyhow!("not built in this branch")))
}
