//! Reading the newest measured runs takes the same time however long the history is, and a pass of the rollout over many
//! repositories costs little.

use crate::ledgers::{GitHub, Ledger};
use crate::redis::{DURABLE, Server};
use crate::{BOUND, MOMENT};
use chrono::{DateTime, TimeDelta};
use futures::future::join_all;
use jitgate::app::records::{self, MeasuredRecord};
use jitgate::app::rollout::{pass, refresh, switch};
use jitgate::domain::ids::{JobId, RepositoryName, RunId};
use jitgate::domain::rollout::{Lifecycle, MeasuredJob, MeasuredRun, Switch, Tally, WaitParts};
use jitgate::domain::routing::RoutingVerdict;
use std::fmt::Write;
use std::fs;
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: usize = 50;
/// More than are read at once.
const FEW_RUNS: u64 = 300;
const MANY_RUNS: u64 = 20_000;
/// The repositories of a gate, each with as many runs as a pass reads.
const REPOSITORIES: usize = 50;
const RUNS_READ: u64 = 256;
const PASSES: usize = 5;
/// The interval of the passes of the rollout.
const INTERVAL: Duration = Duration::from_secs(3);
/// The largest share of a core for ten repositories. A release takes a fraction of what a debug build takes.
const MAX_SHARE: f64 = 0.05;
/// The unit of CPU times in `/proc`.
const TICK: Duration = Duration::from_millis(10);
const READS: usize = 15;
const AT_ONCE: u64 = 200;

fn repository() -> RepositoryName {
    named("octo-org/chem-model")
}

fn named(name: &str) -> RepositoryName {
    RepositoryName::parse(name).expect("a name")
}

fn run(number: u64) -> MeasuredRun {
    let created_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(number).expect("small"));
    let job = MeasuredJob {
        verdict: RoutingVerdict::Correct,
        created_at: Some(created_at),
        started_at: Some(created_at),
        ended_at: Some(created_at),
        parts: WaitParts::default(),
        setup_ms: Some(number),
        lifecycle: Lifecycle::Success,
        live: None,
    };
    MeasuredRun {
        run: RunId(number),
        attempt: 1,
        pull_request: number,
        created_at,
        jobs: [(JobId(number), job)].into(),
        tally_before: Tally::default(),
    }
}

impl Ledger {
    async fn measure(&self, repository: &RepositoryName, runs: u64) {
        let ledger = self.store.ledger.as_ref();
        for first in (1..=runs).step_by(usize::try_from(AT_ONCE).expect("small")) {
            let some = first..(first + AT_ONCE).min(runs + 1);
            let writes = some.map(|number| async move {
                let run = run(number);
                let id = MeasuredRecord::id(repository, run.created_at, run.run, run.attempt);
                records::update(ledger, &id, Duration::from_secs(3600), |record| {
                    *record = Some(MeasuredRecord(run.clone()));
                })
                .await
            });
            for written in join_all(writes).await {
                written.expect("the store answers");
            }
        }
    }

    /// Returns the time of one read.
    async fn read(&self, newest: u64) -> Duration {
        let began = Instant::now();
        let limit = refresh::runs_for(WINDOW);
        let runs = refresh::newest(self.store.ledger.as_ref(), &repository(), DateTime::UNIX_EPOCH, limit).await;
        let runs = runs.expect("the store answers");
        let took = began.elapsed();
        assert_eq!((runs.len(), runs[0].run), (limit, RunId(newest)));
        took
    }
}

async fn compare(few: &Ledger, many: &Ledger) {
    few.measure(&repository(), FEW_RUNS).await;
    many.measure(&repository(), MANY_RUNS).await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..READS {
        best = [
            best[0].min(few.read(FEW_RUNS).await),
            best[1].min(many.read(MANY_RUNS).await),
        ];
    }
    let [of_few, of_many] = best;
    let ratio = of_many.as_secs_f64() / of_few.as_secs_f64();
    println!("{of_few:?} with {FEW_RUNS} runs, {of_many:?} with {MANY_RUNS}; ratio {ratio:.2}");
    assert!(
        of_many <= of_few * BOUND + MOMENT,
        "{of_few:?}, with many runs {of_many:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_runs_are_read_in_constant_time_from_sqlite() {
    let github = GitHub::start().await;
    compare(
        &Ledger::in_sqlite(&github, 1).await,
        &Ledger::in_sqlite(&github, 1).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_runs_are_read_in_constant_time_from_redis() {
    let github = GitHub::start().await;
    compare(&Ledger::in_redis(&github, 1).await, &Ledger::in_redis(&github, 1).await).await;
}

/// The CPU time of this process so far.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name of the program, in parentheses, can contain spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| TICK * ticks.parse::<u32>().expect("a number")).sum()
}

/// Measures what a pass over many repositories with full windows costs, without the store's own process.
async fn pass_over_many(server: Option<Server>) {
    let github = GitHub::start().await;
    let more = (1..REPOSITORIES).fold(String::new(), |mut more, number| {
        write!(
            more,
            "[[repositories]]\nfull_name = \"octo-org/chem-model-{number:02}\"\n"
        )
        .expect("memory");
        more
    });
    let ledger = Ledger::with_one(&github, server, 1, &more).await;
    let settings = &ledger.gate.settings;
    assert_eq!(settings.repositories.len(), REPOSITORIES);
    for repository in &settings.repositories {
        ledger.measure(&repository.name, RUNS_READ).await;
        let seen = Switch {
            on: true,
            updated_at: Some(DateTime::UNIX_EPOCH),
            seen_at: DateTime::UNIX_EPOCH,
        };
        let (store, stages) = (ledger.store.ledger.as_ref(), &settings.rollout.stages);
        let noted = switch::note_in(store, settings.retention, repository, seen, stages, seen.seen_at).await;
        noted.expect("the store answers");
    }
    // The canaries walk.
    pass::run_once(&ledger.gate).await;
    let mut cheapest = Duration::MAX;
    for _ in 0..PASSES {
        let before = cpu_time();
        assert_eq!(pass::run_once(&ledger.gate).await, 0, "nothing changes");
        cheapest = cheapest.min(cpu_time() - before);
    }
    let tens = f64::from(u32::try_from(REPOSITORIES).expect("small")) / 10.0;
    let share = cheapest.as_secs_f64() / INTERVAL.as_secs_f64() / tens;
    println!("{cheapest:?} for a pass over {REPOSITORIES} repositories: {share:.4} of a core for ten");
    assert!(share <= MAX_SHARE, "{share}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_many_repositories_is_cheap_in_sqlite() {
    pass_over_many(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_many_repositories_is_cheap_in_redis() {
    pass_over_many(Some(Server::start(DURABLE))).await;
}
