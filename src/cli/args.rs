//! The command line: the global flags and the commands.

use super::global::Global;
use super::{alert, config, dead_letter, delivery, internal, replay, repository, runner, serve, simulate, verify, why};
use clap::{Parser, Subcommand};

/// Just-in-time GitHub Actions runners for trusted pull requests, and for nothing else.
///
/// jitgate stands between GitHub and the machines that run CI. It receives signed `workflow_job` deliveries, finds out
/// whether the job's pull request is trusted, checks that the job was routed where it belongs, and makes one fresh runner
/// for each trusted job.
#[derive(Debug, Parser)]
#[command(
    name = "jitgate",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 a negative answer, 2 usage, 3 configuration, 4 GitHub, 5 store, 6 runner host,
7 another instance holds the lock, 8 too little data to judge, 9 an address is in use, 70 a bug."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What jitgate can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take deliveries, decide, and make runners
    Serve(serve::Args),
    /// Tell what became of a job, and why
    Why(why::Args),
    /// Look at runners, and at the jobs that wait for one
    Runner(runner::Args),
    /// Look at deliveries, and have them worked on again
    Delivery(delivery::Args),
    /// Look at deliveries that were given up on, and settle them
    DeadLetter(dead_letter::Args),
    /// Look at alerts, and say who looks after them or that they are over
    Alert(alert::Args),
    /// Send recorded deliveries through a gate and compare its decisions
    Replay(replay::Args),
    /// Run the simulated GitHub by itself
    Simulate(simulate::Args),
    /// Say which repository a configured name means
    Repository(repository::Args),
    /// Look whether everything is there to serve trusted jobs
    Verify(verify::Args),
    /// Look at the configuration
    Config(config::Args),
    /// What jitgate starts itself as
    #[command(hide = true)]
    Internal(internal::Args),
}
