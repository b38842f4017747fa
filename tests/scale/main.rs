//! A long history costs no time: with 100,000 finished jobs jitgate claims, decides and explains as fast as with 100.
//!
//! `cargo bench --bench ledger` compares medians. Here the quickest of many rounds are compared: a busy machine makes some
//! rounds slow, and whatever looks at all jobs makes every round slow.
#![cfg(test)]

mod ledgers;
mod measured;
mod outsiders;
#[path = "../it/support/redis.rs"]
mod redis;

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
