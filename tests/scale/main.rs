//! What a gate remembers costs it nothing: with 100,000 finished jobs it claims, decides and tells why as with 100.
//!
//! `cargo bench --bench ledger` compares medians. Here the quickest of many rounds are compared: a busy machine makes some
//! rounds slow, and whatever looks at all jobs makes every round slow.
#![cfg(test)]

mod ledgers;
#[path = "../redis_engine/server.rs"]
mod server;

use ledgers::{GitHub, Ledger, Operation, side_by_side};
use std::time::Duration;

const FEW: u64 = 100;
const MANY: u64 = 100_000;
/// Writing them down takes longest. What looks at all of them is as clearly seen with a part.
const MANY_IN_REDIS: u64 = 30_000;
const ROUNDS: usize = 61;
/// Many may take so many times as long as few, and a moment more.
const BOUND: u32 = 2;
const MOMENT: Duration = Duration::from_millis(1);

async fn hold_against_each_other(few: &Ledger, many: &Ledger) {
    use Operation::{Claim, Decide, Take, Why, WhyCommand};
    for (operation, rounds) in [
        (Take, ROUNDS),
        (Claim, ROUNDS),
        (Decide, ROUNDS),
        (Why, ROUNDS),
        (WhyCommand, 11),
    ] {
        let [of_few, of_many] = side_by_side(few, many, operation, rounds).await.map(|times| times[0]);
        println!("{operation:?}: {of_few:?} with few, {of_many:?} with many");
        assert!(
            of_many <= of_few * BOUND + MOMENT,
            "{operation:?}: {of_few:?}, with many jobs {of_many:?}"
        );
    }
}

/// What the ledger may keep of an outsider's finished job, and for how long.
const MOST_BYTES: u64 = 3000;
const LONGEST: Duration = Duration::from_secs(6 * 3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outsiders_cannot_fill_the_store_with_finished_jobs() {
    let github = GitHub::start().await;
    for ledger in [Ledger::in_sqlite(&github, 1).await, Ledger::in_redis(&github, 1).await] {
        ledger.outsiders_jobs_come_and_go(40).await;
        let kept = ledger.kept_of_outsiders();
        assert_eq!(kept.len(), 40);
        let bytes = kept.iter().map(|(bytes, _)| bytes).sum::<u64>() / 40;
        println!("{bytes} bytes for an outsider's job");
        assert!(bytes < MOST_BYTES, "{bytes} bytes each");
        assert!(
            kept.iter().all(|(_, left)| *left <= LONGEST && !left.is_zero()),
            "{kept:?}"
        );
        // One whose end is not heard of is not kept for ever either.
        ledger.outsiders_job_comes_and_its_end_is_lost().await;
        let latest = ledger.kept_of_outsiders().into_iter().map(|(_, left)| left).max();
        assert!(
            latest.is_some_and(|left| left > LONGEST && left <= 8 * LONGEST),
            "{latest:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_does_not_get_slower() {
    let github = GitHub::start().await;
    let few = Ledger::in_sqlite(&github, FEW).await;
    let many = Ledger::in_sqlite(&github, MANY).await;
    hold_against_each_other(&few, &many).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_does_not_get_slower() {
    let github = GitHub::start().await;
    let few = Ledger::in_redis(&github, FEW).await;
    let many = Ledger::in_redis(&github, MANY_IN_REDIS).await;
    hold_against_each_other(&few, &many).await;
}
