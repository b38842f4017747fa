//! `jitgate slo`: the service levels of the newest trusted runs.

use super::exit::{Exit, Failure, Outcome};
use super::one_repository::OneRepository;
use super::session::Session;
use super::table::{self, or_dash};
use crate::app::rollout::slo;
use crate::domain::rollout::slo::{SloReport, TargetReport, WorstRun};
use crate::runtime;
use std::io::{self, Write};
use std::num::NonZeroU32;

/// Arguments of `slo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The newest trusted runs with a job for self-hosted runners are measured. A run whose jobs were all cancelled or denied does
not count, and a run that is not over counts with its wait so far. BUDGET LEFT is the number of further misses that the
target permits: runs, or jobs for routing_correctness.

Examples:
  jitgate slo
  jitgate slo --repo octo-org/chem-model --window 200
  jitgate slo --json

Exit codes: 0 all targets are met; 1 a target is missed; 5 the store; 8 fewer runs than the window have a known outcome."
)]
pub struct Args {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Number of the newest runs; slo.window by default
    #[arg(long, value_name = "N")]
    pub window: Option<NonZeroU32>,
}

/// Runs `slo`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let config = session.config()?;
    let repository = args.which.configured(config)?;
    let mut policy = runtime::slo_policy(&config.slo);
    if let Some(window) = args.window {
        policy.window = usize::try_from(window.get()).unwrap_or(usize::MAX);
    }
    let ledger = session.store()?.ledger.as_ref();
    let report = slo::report(ledger, &repository.name, &policy, session.clock.now()).await;
    let report = report.map_err(Failure::of_store)?;
    session.answer(&report, |out| print(out, &report))?;
    Ok(match (report.enough, report.missed().next()) {
        (false, _) => Exit::TooLittleData,
        (true, Some(_)) => Exit::Negative,
        (true, None) => Exit::Done,
    })
}

pub(super) fn print(out: &mut dyn Write, report: &SloReport) -> io::Result<()> {
    let heading = ["SERVICE LEVEL", "TARGET", "VALUE", "SAMPLE", "MET", "BUDGET LEFT"];
    table::print(out, heading, report.targets.iter().map(target))?;
    if !report.enough {
        writeln!(
            out,
            "\nFewer than {} runs of {} have a known outcome, which is too little for a judgement.",
            report.window, report.repository
        )?;
    }
    if report.worst.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWorst runs; `jitgate why JOB` shows the history of the job:")?;
    table::print(out, ["JOB", "RUN", "WHY"], report.worst.iter().map(worst))
}

fn target(target: &TargetReport) -> [String; 6] {
    let bound = if target.name.is_share() { ">=" } else { "<=" };
    let number = |value: f64| match target.name.is_share() {
        true => format!("{:.2} %", value * 100.0),
        false => format!("{value} s"),
    };
    let met = target.met.map(|met| if met { "yes" } else { "no" });
    [
        target.name.as_str().to_owned(),
        format!("{bound} {}", number(target.target)),
        or_dash(target.value.map(number)),
        target.sample.to_string(),
        or_dash(met),
        target.error_budget_left.to_string(),
    ]
}

fn worst(worst: &WorstRun) -> [String; 3] {
    [worst.job.to_string(), worst.run.to_string(), worst.why.clone()]
}
