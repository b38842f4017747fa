//! `jitgate simulate`: the simulated GitHub.

use super::exit::{Exit, Failure, Outcome};
use super::session::Session;
use super::signals;
use crate::simulator::Simulator;
use serde_json::json;
use std::net::SocketAddr;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate simulate
  jitgate simulate --listen 127.0.0.1:3000

The command prints its URL and answers until it is stopped. docs/fixtures.md describes how to build the simulated world.")]
pub struct Args {
    /// Address to listen on; with port 0 the system chooses a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// Runs `simulate`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let simulator = Simulator::start(session.clock.clone(), args.listen)
        .map_err(|error| Failure::new(Exit::Usage, error).remedy("give another --listen address"))?;
    session.answer(&json!({"url": simulator.url()}), |out| {
        writeln!(out, "{}", simulator.url())
    })?;
    signals::stop().await.map_err(|error| Failure::new(Exit::Bug, error))?;
    simulator.stop().await;
    Ok(Exit::Done)
}
