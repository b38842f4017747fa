//! `jitgate rollout simulate`: the canary, the triggers and the service levels over recorded runs.

use super::history_file::{self, Recording};
use super::recording;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::one_repository::OneRepository;
use crate::cli::session::Session;
use crate::cli::slo;
use crate::cli::table;
use crate::domain::rollout::slo::{SloReport, report};
use crate::domain::rollout::{Recorded, RolloutPolicy, Simulation, SloPolicy, simulate};
use crate::runtime;
use crate::telemetry::one_line;
use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Statements about the results that a reader must know.
const ASSUMPTIONS: [&str; 4] = [
    "routing is on from the first run, and the mode is enforce",
    "after a rollback a person switches routing on again before the next run",
    "with manual stages a person starts the next stage before the next run",
    "the trigger offline is not simulated, because runs do not show runners without a job",
];

/// Arguments of `rollout simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The recorded runs are replayed with the rules of `jitgate serve` and the configured thresholds;
a flag replaces one of them. Nothing is stored and nothing is sent to GitHub. The command
`jitgate rollout export` writes the file.

Examples:
  jitgate rollout simulate
  jitgate rollout simulate --stages 1,5,20 --queue-wait-p95-s 90
  jitgate rollout simulate history.json --boot-failures 3 --json
  jitgate rollout export | jitgate rollout simulate - --exclude-delivery-lag false

Exit codes: 0 the result is printed; 3 the file or the configuration is invalid; 5 the store;
8 no run is recorded."
)]
pub struct Args {
    /// File with recorded runs, or - for stdin. By default the measured runs of the store
    #[arg(value_name = "HISTORY")]
    pub history: Option<PathBuf>,
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub thresholds: Thresholds,
}

/// Replacements for configured thresholds.
#[derive(Debug, clap::Args)]
pub struct Thresholds {
    /// Trusted pull requests in each canary stage
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    pub stages: Option<Vec<NonZeroU32>>,
    /// Consecutive pull requests without a runner
    #[arg(long, value_name = "N")]
    pub boot_failures: Option<NonZeroU32>,
    /// Maximum 95th percentile of the queue wait, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub queue_wait_p95_s: Option<u32>,
    /// Number of pull requests in this percentile
    #[arg(long, value_name = "N")]
    pub queue_wait_window: Option<NonZeroU32>,
    /// Leave GitHub's delivery lag out of the queue wait
    #[arg(long, value_name = "BOOL")]
    pub exclude_delivery_lag: Option<bool>,
    /// Number of the newest runs in the service levels
    #[arg(long, value_name = "N")]
    pub slo_window: Option<NonZeroU32>,
    /// Minimum share of runs with a successful life cycle, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub slo_lifecycle_success: Option<f64>,
    /// Minimum share of correctly routed jobs, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub slo_routing_correctness: Option<f64>,
    /// Maximum 95th percentile of the queue wait in the service levels, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub slo_queue_wait_p95_s: Option<u32>,
    /// Maximum 95th percentile of the setup latency, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub slo_setup_latency_p95_s: Option<u32>,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    match (0.0..=1.0).contains(&number) {
        true => Ok(number),
        false => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// The answer of the command.
#[derive(Serialize)]
struct Answer {
    repository: String,
    thresholds: Used,
    assumptions: [&'static str; 4],
    #[serde(flatten)]
    simulation: Simulation,
    slo: SloReport,
}

/// The thresholds of a simulation.
#[derive(Serialize)]
struct Used {
    stages: Vec<u32>,
    advance: &'static str,
    boot_failures: usize,
    queue_wait_p95_s: i64,
    queue_wait_window: usize,
    exclude_delivery_lag: bool,
}

/// Runs `rollout simulate`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let config = session.config()?;
    let recording = match &args.history {
        Some(path) => {
            let recording = read(path)?;
            let named = args.which.name()?;
            if let Some(named) = named.filter(|named| !named.matches(recording.repository.as_str())) {
                let error = anyhow!(
                    "{}: contains runs of {}, not of {named}",
                    path.display(),
                    recording.repository
                );
                return Err(Failure::new(Exit::Usage, error).remedy("omit --repo, or use a file of that repository"));
            }
            recording
        }
        None => recording::of_ledger(session, &args.which, usize::MAX).await?,
    };
    let rollout = args.thresholds.of_rollout(runtime::rollout_policy(&config.rollout))?;
    let levels = args.thresholds.of_slo(runtime::slo_policy(&config.slo));
    let simulation = simulate(
        &Recorded {
            runs: &recording.runs,
            mismatches: &recording.mismatches,
            until: recording.exported_at,
        },
        &rollout,
    );
    let answer = Answer {
        repository: recording.repository.to_string(),
        thresholds: Used::of(&rollout),
        assumptions: ASSUMPTIONS,
        simulation,
        slo: report(
            &recording.repository,
            &recording.runs,
            recording.tally,
            &levels,
            recording.exported_at,
        ),
    };
    session.answer(&answer, |out| print(out, &answer))?;
    Ok(if recording.runs.is_empty() {
        Exit::TooLittleData
    } else {
        Exit::Done
    })
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    let name = path.display();
    read.with_context(|| format!("cannot read {name}"))
        .map_err(|error| Failure::new(Exit::Configuration, error).remedy("name a file of `jitgate rollout export`"))?;
    history_file::parse(&text).map_err(|error| {
        Failure::new(Exit::Configuration, anyhow!("{name}: {error}")).remedy("compare it with docs/rollout-history.md")
    })
}

impl Thresholds {
    fn of_rollout(&self, configured: RolloutPolicy) -> Result<RolloutPolicy, Failure> {
        let stages = self
            .stages
            .as_ref()
            .map(|stages| stages.iter().map(|size| size.get()).collect());
        let stages: Vec<u32> = stages.unwrap_or_else(|| configured.stages.clone());
        if !stages.is_sorted_by(|before, after| before < after) {
            let error = anyhow!("--stages is not in ascending order");
            return Err(Failure::new(Exit::Usage, error).remedy("use a larger number for each further stage"));
        }
        Ok(RolloutPolicy {
            stages,
            boot_failures: self.boot_failures.map_or(configured.boot_failures, count),
            queue_wait_p95: self.queue_wait_p95_s.map_or(configured.queue_wait_p95, seconds),
            queue_wait_window: self.queue_wait_window.map_or(configured.queue_wait_window, count),
            exclude_delivery_lag: self.exclude_delivery_lag.unwrap_or(configured.exclude_delivery_lag),
            ..configured
        })
    }

    fn of_slo(&self, configured: SloPolicy) -> SloPolicy {
        SloPolicy {
            window: self.slo_window.map_or(configured.window, count),
            lifecycle_success: self.slo_lifecycle_success.unwrap_or(configured.lifecycle_success),
            routing_correctness: self.slo_routing_correctness.unwrap_or(configured.routing_correctness),
            queue_wait_p95: self.slo_queue_wait_p95_s.map_or(configured.queue_wait_p95, seconds),
            setup_latency_p95: self
                .slo_setup_latency_p95_s
                .map_or(configured.setup_latency_p95, seconds),
        }
    }
}

fn count(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

fn seconds(number: u32) -> TimeDelta {
    TimeDelta::seconds(number.into())
}

impl Used {
    fn of(policy: &RolloutPolicy) -> Self {
        Self {
            stages: policy.stages.clone(),
            advance: if policy.advances_manually { "manual" } else { "auto" },
            boot_failures: policy.boot_failures,
            queue_wait_p95_s: policy.queue_wait_p95.num_seconds(),
            queue_wait_window: policy.queue_wait_window,
            exclude_delivery_lag: policy.exclude_delivery_lag,
        }
    }
}

fn print(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    let Simulation {
        timeline,
        totals,
        stage,
        stage_size,
        progress,
    } = &answer.simulation;
    for step in timeline {
        let stage = match step.from == step.to {
            true => step.to.to_string(),
            false => format!("{} -> {}", step.from, step.to),
        };
        let (at, by) = (table::time(step.at), step.by.as_deref().unwrap_or("-"));
        writeln!(out, "{at}  {:<8}  stage {stage:<6}  {by}", step.what.as_str())?;
        if let Some(why) = &step.why {
            writeln!(out, "    {}", one_line(why))?;
        }
    }
    let progress = match stage_size {
        Some(size) => format!("stage {stage}, {progress} of {size} pull requests"),
        None => format!("stage {stage}, which has no end, {progress} pull requests"),
    };
    writeln!(
        out,
        "\n{}: {} runs of {} pull requests. At the end: {progress}. Rollbacks: {}.",
        answer.repository,
        totals.runs,
        totals.pull_requests,
        if totals.rollbacks.is_empty() {
            "none".to_owned()
        } else {
            let each = totals
                .rollbacks
                .iter()
                .map(|(trigger, count)| format!("{count} by {trigger}"));
            each.collect::<Vec<_>>().join(", ")
        }
    )?;
    writeln!(out, "\nAssumptions:")?;
    for assumption in answer.assumptions {
        writeln!(out, "  {assumption}")?;
    }
    writeln!(out)?;
    slo::print(out, &answer.slo)
}
