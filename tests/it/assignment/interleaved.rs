//! A worker acts between any two operations of another one on the store.

use super::{
    OF_101, OF_201, PickUps, age, job_record, jobs_with_runners, runner, start_on, two_jobs_with_runners, with,
};
use crate::commands::stage::Stage;
use async_trait::async_trait;
use jitgate::app::Context;
use jitgate::app::events::worker;
use jitgate::app::pool::pass;
use jitgate::app::records::{self, JobRecord};
use jitgate::domain::ids::JobId;
use jitgate::domain::job::Service;
use jitgate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use jitgate::ports::{Failure, Ledger};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;

/// More operations than any worker of these tests performs.
const MAX_OPERATIONS: u32 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    ProcessDeliveries,
    PassThePool,
}

async fn act(worker: &Context, act: Act) -> Result<(), Failure> {
    match act {
        Act::ProcessDeliveries => worker::run_until_idle(worker, "test").await.map(drop),
        Act::PassThePool => pass::run_once(worker).await.map(drop),
    }
}

/// A ledger of a worker that is interrupted before one operation: another worker acts first.
struct Interrupted {
    other: Arc<Context>,
    by: Act,
    /// Number of operations before the interruption.
    rest: AtomicU32,
}

impl Interrupted {
    async fn count(&self) -> Result<(), Failure> {
        let counted = self
            .rest
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |rest| Some(rest.wrapping_sub(1)));
        match counted {
            Ok(0) => act(&self.other, self.by).await,
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Interrupted {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.count().await?;
        self.other.ledger.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        self.count().await?;
        self.other.ledger.put(key, value, expected, keep).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.count().await?;
        self.other.ledger.remove(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        self.count().await?;
        self.other.ledger.list(kind, after, limit).await
    }
}

/// Sets a stage for each operation of `first` on it, and has `second` interrupt that operation. Then `check` looks at the stage.
async fn interrupt_each_operation(
    first: Act,
    second: Act,
    set: impl AsyncFn() -> Stage,
    check: impl AsyncFn(&Stage, &str),
) {
    for operation in 0..MAX_OPERATIONS {
        let stage = set().await;
        let ledger = Arc::new(Interrupted {
            other: stage.gate.clone(),
            by: second,
            rest: AtomicU32::new(operation),
        });
        let worker = with(&stage.gate, ledger.clone(), Arc::new(PickUps::default()));
        act(&worker, first).await.expect("the store answers");
        check(&stage, &format!("{first:?}, interrupted before operation {operation}")).await;
        let was_interrupted = ledger.rest.load(Ordering::SeqCst) > MAX_OPERATIONS;
        if !was_interrupted {
            assert!(operation > 5, "{first:?} performs more than {operation} operations");
            return;
        }
    }
    panic!("{first:?} performs too many operations");
}

/// Each job has a runner that is assigned to it, and GitHub made no further runner.
async fn expect_one_runner_each(stage: &Stage, jobs: &[u64], when: &str) {
    for id in jobs {
        let job = job_record(stage, *id).await;
        assert_eq!(job.service, Service::Serving, "{when}: {job:?}");
        let name = job.runner.as_ref().expect("a runner");
        assert_eq!(runner(stage, name).await.job, JobId(*id), "{when}: {job:?}");
    }
    assert_eq!(stage.tally().await.minted, jobs.len() as u64, "{when}");
}

/// Job 101 waits for a runner when GitHub gives it the one of job 201.
async fn a_waiting_job_takes_a_runner() -> Stage {
    let stage = jobs_with_runners(&[201]).await;
    stage.deliver("queued-101", "queued", 101).await;
    act(&stage.gate, Act::ProcessDeliveries)
        .await
        .expect("the store answers");
    start_on(&stage, 101, OF_201).await;
    stage
}

async fn a_job_takes_a_runner_while_its_own_is_made(first: Act, second: Act) {
    let check = async |stage: &Stage, when: &str| {
        stage.work().await;
        expect_one_runner_each(stage, &[101, 201], when).await;
        assert_eq!(runner(stage, OF_201).await.job, JobId(101), "{when}");
        let job = job_record(stage, 101).await;
        let attempts = u32::from(job.runners.iter().any(|name| name == OF_101));
        assert_eq!(job.mints - job.mints_stolen, attempts, "{when}: {job:?}");
    };
    interrupt_each_operation(first, second, a_waiting_job_takes_a_runner, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_another_worker_interrupts_costs_no_further_runner() {
    a_job_takes_a_runner_while_its_own_is_made(Act::ProcessDeliveries, Act::PassThePool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_that_a_swap_interrupts_costs_no_further_runner() {
    a_job_takes_a_runner_while_its_own_is_made(Act::PassThePool, Act::ProcessDeliveries).await;
}

/// Jobs 101 and 201 have runners that have been starting for a while when GitHub gives job 101 the one of job 201.
async fn a_job_takes_a_runner_during_a_pass(first: Act, second: Act) {
    let set = async || {
        let stage = two_jobs_with_runners().await;
        for name in [OF_101, OF_201] {
            age(&stage, name).await;
        }
        start_on(&stage, 101, OF_201).await;
        stage
    };
    let check = async |stage: &Stage, when: &str| {
        expect_one_runner_each(stage, &[101, 201], when).await;
        assert!(runner(stage, OF_101).await.state.is_alive(), "{when}");
    };
    interrupt_each_operation(first, second, set, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_handed_over_during_a_pass_is_no_stray() {
    a_job_takes_a_runner_during_a_pass(Act::PassThePool, Act::ProcessDeliveries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_between_the_steps_of_a_swap_ends_no_runner() {
    a_job_takes_a_runner_during_a_pass(Act::ProcessDeliveries, Act::PassThePool).await;
}

/// A worker that processes one of two events is interrupted by one that processes the other.
async fn two_jobs_take_runners(events: [(u64, &str); 2]) {
    let set = async || {
        let stage = jobs_with_runners(&[101, 201, 301]).await;
        for (job, name) in events {
            start_on(&stage, job, name).await;
        }
        stage
    };
    let check = async |stage: &Stage, when: &str| {
        stage.work().await;
        expect_one_runner_each(stage, &[101, 201, 301], when).await;
    };
    interrupt_each_operation(Act::ProcessDeliveries, Act::ProcessDeliveries, set, check).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_the_loss_of_its_spare_runner_interrupts_costs_no_further_runner() {
    two_jobs_take_runners([(101, OF_201), (301, OF_101)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_of_a_runner_that_is_handed_over_meanwhile_costs_no_further_runner() {
    two_jobs_take_runners([(301, OF_101), (101, OF_201)]).await;
}

/// A ledger that stops its worker before it stores one record, until another worker has come to a place.
struct Stopping {
    inner: Arc<dyn Ledger>,
    before: Key,
    reached: Semaphore,
    may_go_on: Semaphore,
}

impl Stopping {
    fn before(stage: &Stage, before: Key) -> Arc<Self> {
        Arc::new(Self {
            inner: stage.gate.ledger.clone(),
            before,
            reached: Semaphore::new(0),
            may_go_on: Semaphore::new(0),
        })
    }

    async fn until_reached(&self) {
        self.reached.acquire().await.expect("it is open").forget();
    }
}

#[async_trait]
impl Ledger for Stopping {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure> {
        if *key == self.before {
            self.reached.add_permits(1);
            drop(self.may_go_on.acquire().await.expect("it is open"));
        }
        self.inner.put(key, value, expected, keep).await
    }

    async fn remove(&self, key: &Key) -> Result<(), Failure> {
        self.inner.remove(key).await
    }

    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure> {
        self.inner.list(kind, after, limit).await
    }
}

/// Stops a pass before it stores the record of a runner. A worker processes deliveries until it would store job 201, then the
/// pass goes on to its end, and then the worker.
async fn pass_within_a_swap(stage: &Stage, runner: &str) {
    let passing = Stopping::before(stage, Key::new(Kind::Runner, runner));
    let swapping = Stopping::before(stage, Key::new(Kind::Job, "201"));
    let pool = with(&stage.gate, passing.clone(), Arc::new(PickUps::default()));
    let worker = with(&stage.gate, swapping.clone(), Arc::new(PickUps::default()));
    let pass = async {
        act(&pool, Act::PassThePool).await.expect("the store answers");
        swapping.may_go_on.add_permits(1);
    };
    let swap = async {
        passing.until_reached().await;
        act(&worker, Act::ProcessDeliveries).await.expect("the store answers");
    };
    let in_between = async {
        swapping.until_reached().await;
        passing.may_go_on.add_permits(1);
    };
    tokio::join!(pass, swap, in_between);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_not_requested_if_a_swap_found_no_record_of_it() {
    let stage = a_waiting_job_takes_a_runner().await;
    pass_within_a_swap(&stage, OF_101).await;
    stage.work().await;
    expect_one_runner_each(&stage, &[101, 201], "at the end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_that_github_gives_to_a_job_during_a_pass_is_not_ended() {
    let stage = a_waiting_job_takes_a_runner().await;
    age(&stage, OF_201).await;
    let (ledger, retention) = (stage.gate.ledger.as_ref(), stage.gate.settings.retention);
    let closed = records::change(ledger, "201", retention, |job: &mut JobRecord| {
        job.service = Service::Closed;
    });
    closed.await.expect("the store answers").expect("a job");
    pass_within_a_swap(&stage, OF_201).await;
    let runner = runner(&stage, OF_201).await;
    assert!(runner.state.is_alive(), "{runner:?}");
    assert_eq!(runner.job, JobId(101));
}
