//! Reading the newest measured runs takes the same time however long the history is.

use crate::ledgers::{GitHub, Ledger};
use crate::{BOUND, MOMENT};
use chrono::{DateTime, TimeDelta};
use futures::future::join_all;
use jitgate::app::records::{self, MeasuredRecord};
use jitgate::app::rollout::refresh;
use jitgate::domain::ids::{JobId, RepositoryName, RunId};
use jitgate::domain::rollout::{Lifecycle, MeasuredJob, MeasuredRun, Tally, WaitParts};
use jitgate::domain::routing::RoutingVerdict;
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: usize = 50;
/// More than are read at once.
const FEW_RUNS: u64 = 300;
const MANY_RUNS: u64 = 20_000;
const READS: usize = 15;
const AT_ONCE: u64 = 200;

fn repository() -> RepositoryName {
    RepositoryName::parse("octo-org/chem-model").expect("a name")
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
    async fn measure(&self, runs: u64) {
        let ledger = self.store.ledger.as_ref();
        for first in (1..=runs).step_by(usize::try_from(AT_ONCE).expect("small")) {
            let some = first..(first + AT_ONCE).min(runs + 1);
            let writes = some.map(|number| async move {
                let run = run(number);
                let id = MeasuredRecord::id(&repository(), run.created_at, run.run, run.attempt);
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
    few.measure(FEW_RUNS).await;
    many.measure(MANY_RUNS).await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..READS {
        best = [
            best[0].min(few.read(FEW_RUNS).await),
            best[1].min(many.read(MANY_RUNS).await),
        ];
    }
    let [of_few, of_many] = best;
    println!("{of_few:?} with {FEW_RUNS} runs, {of_many:?} with {MANY_RUNS}");
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
