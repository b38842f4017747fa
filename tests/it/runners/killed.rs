//! The worker is killed at any moment, with jobs in every state.

use super::stage::{Stage, needs, world};
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// The number of kills.
const KILLS: u32 = 50;

/// Moments that look random and are the same each time.
fn moments() -> impl Iterator<Item = Duration> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_millis(5 + state % 150)
    })
}

on_each_store!(a_worker_that_is_killed_fifty_times_serves_every_job_once_and_leaves_nothing_behind);

async fn a_worker_that_is_killed_fifty_times_serves_every_job_once_and_leaves_nothing_behind(store: Settings<'_>) {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let jobs: Vec<Value> = (0..24)
        .map(|n| json!({"id": 1000 + n, "name": "web", "duration_s": n % 3}))
        .collect();
    let runs = json!([{"id": 20, "pull": 7, "jobs": jobs}]);
    let settings = [store, &[("runners.attempts", "60"), ("runners.boot_deadline_s", "20")]].concat();
    let mut stage = Stage::set(world(runs, json!([{"number": 7}])), &settings).await;
    for job in 1000..1024 {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    for moment in moments().take(KILLS as usize) {
        drop(timeout(moment, std::future::pending::<()>()).await);
        stage = stage.kill_and_restart().await;
    }
    let tally = stage.until_nothing_is_left().await;
    for (id, job) in &tally.jobs {
        let story = stage.story(*id).await;
        assert!(
            job.ran,
            "job {id} had no runner that let it through: {job:?}\n{story:#}"
        );
    }
    assert_eq!(tally.ran, 24, "each ran once");
    assert!(stage.most_runners() <= 8, "{}", stage.most_runners());
}
