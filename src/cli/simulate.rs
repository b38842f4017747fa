//! `jitgate simulate`.

use super::args::Global;
use super::exit::{Exit, Failure, Outcome};
use super::{logging, output, signals};
use crate::adapters::clock::SystemClock;
use crate::simulator::Simulator;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate simulate
  jitgate simulate --listen 127.0.0.1:3000

It prints its URL and answers until it is stopped; docs/fixtures.md says how to tell it what the world looks like.")]
pub struct Args {
    /// Address to answer on; with port 0 the system chooses one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// Runs `simulate`.
pub(super) fn run(args: Args, global: &Global) -> Outcome {
    logging::on_request(global);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, error))?;
    runtime.block_on(async {
        let simulator = Simulator::start(Arc::new(SystemClock), args.listen)
            .map_err(|error| Failure::new(Exit::Usage, error).remedy("give another --listen address"))?;
        if global.json {
            output::print_json(&json!({"url": simulator.url()}))?;
        } else {
            output::print(|out| writeln!(out, "{}", simulator.url()))?;
        }
        signals::stop().await.map_err(|error| Failure::new(Exit::Bug, error))?;
        simulator.stop().await;
        Ok(Exit::Done)
    })
}
