//! Compares claim, decide and `why` on a ledger with 100,000 finished jobs and on a ledger with 100.
//!
//! `cargo bench --bench ledger` fills both ledgers in SQLite and in Redis, which takes a minute, and prints medians and
//! their ratios. An argument selects one engine: `cargo bench --bench ledger -- sqlite`.
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has nothing to say")]
#![expect(clippy::print_stdout, reason = "what it is for")]

#[path = "../tests/scale/ledgers.rs"]
mod ledgers;
#[path = "../tests/it/support/redis.rs"]
mod redis;

use ledgers::{GitHub, Ledger, Operation, side_by_side};
use tokio::time::Instant;

const FEW: u64 = 100;
const MANY: u64 = 100_000;

fn main() {
    let engines: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |engine: &str| engines.is_empty() || engines.iter().any(|wanted| wanted == engine);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let github = GitHub::start().await;
        if is_wanted("sqlite") {
            let began = Instant::now();
            let few = Ledger::in_sqlite(&github, FEW).await;
            let many = Ledger::in_sqlite(&github, MANY).await;
            report("sqlite", &few, &many, began).await;
        }
        if is_wanted("redis") {
            let began = Instant::now();
            let few = Ledger::in_redis(&github, FEW).await;
            let many = Ledger::in_redis(&github, MANY).await;
            report("redis", &few, &many, began).await;
        }
    });
}

async fn report(engine: &str, few: &Ledger, many: &Ledger, began: Instant) {
    println!("{engine}: filled in {:.1} s", began.elapsed().as_secs_f64());
    println!("{:<12} {:>12} {:>12} {:>7}", "median of", FEW, MANY, "ratio");
    for (operation, rounds) in [
        (Operation::Take, 1001),
        (Operation::Claim, 1001),
        (Operation::Decide, 501),
        (Operation::Why, 1001),
        (Operation::WhyCommand, 101),
    ] {
        let times = side_by_side(few, many, operation, rounds).await;
        let [of_few, of_many] = times.map(|times| times.get(rounds / 2).copied().unwrap_or_default());
        let ratio = of_many.as_secs_f64() / of_few.as_secs_f64();
        println!(
            "{:<12} {of_few:>12.1?} {of_many:>12.1?} {ratio:>7.2}",
            format!("{operation:?}").to_lowercase()
        );
    }
}
