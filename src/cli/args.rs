//! The command line: the global flags and the commands.

use super::global::Global;
use super::{
    alert, app, changes, config, dead_letter, delivery, image, incident, internal, jit, pool, replay, repository,
    rollout, routing, runner, serve, setup, simulate, slo, verify, why,
};
use clap::{Parser, Subcommand};

/// Just-in-time GitHub Actions runners for trusted pull requests, and for nothing else.
///
/// jitgate stands between GitHub and the machines that run CI. It receives signed `workflow_job` deliveries, finds out
/// whether the job's pull request is trusted, checks the routing of the job, and creates one fresh runner for each trusted
/// job.
#[derive(Debug, Parser)]
#[command(
    name = "jitgate",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(after_help = "Exit codes:
   0  The command is done.
   1  The answer is negative: a mismatch, an unmet expectation, an unknown object.
   2  The command line is invalid.
   3  The configuration is invalid or incomplete.
   4  GitHub rejects the request or cannot be reached.
   5  The store fails.
   6  The runner host fails.
   7  Another instance holds the lock of the store.
   8  There is not enough data for a judgement.
   9  An address to listen on is in use; a later try may succeed.
  70  jitgate has a bug.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of jitgate.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive deliveries, decide on jobs, and create runners
    Serve(serve::Args),
    /// Show the history of a job and the reasons behind it
    Why(why::Args),
    /// List runners and waiting jobs
    Runner(runner::Args),
    /// List, show, replay and export deliveries
    Delivery(delivery::Args),
    /// List, retry and drop dead letters
    DeadLetter(dead_letter::Args),
    /// List, acknowledge and resolve alerts
    Alert(alert::Args),
    /// List the changes that persons made
    Changes(changes::Args),
    /// List incidents, and write the report of one
    Incident(incident::Args),
    /// Show the service levels of the newest trusted runs
    Slo(slo::Args),
    /// Replay recorded deliveries and compare the decisions
    Replay(replay::Args),
    /// Run a simulated GitHub
    Simulate(simulate::Args),
    /// Show and change the canary stages of self-hosted routing
    Rollout(rollout::Args),
    /// Show and change the variable that routes trusted jobs to self-hosted runners
    Routing(routing::Args),
    /// Show and change the pool of slots, and run its worker
    Pool(pool::Args),
    /// Check the GitHub App, and get tokens of its installations
    App(app::Args),
    /// Request a just-in-time runner
    Jit(jit::Args),
    /// Accept a repository under a configured name
    Repository(repository::Args),
    /// Prepare GitHub and this machine
    Setup(setup::Args),
    /// Build, verify, list and remove images of virtual machines
    Image(image::Args),
    /// Verify that trusted jobs can be served
    Verify(verify::Args),
    /// Validate and show the configuration
    Config(config::Args),
    /// Run an internal process
    #[command(hide = true)]
    Internal(internal::Args),
}
