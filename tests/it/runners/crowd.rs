//! More jobs than slots.

use super::stage::{Stage, needs};
use crate::support::gate::Settings;
use crate::support::stores::on_each_store;
use serde_json::{Value, json};

/// Jobs of one run, each with an id of its own.
fn jobs(from: u64, count: u64) -> Vec<Value> {
    (from..from + count)
        .map(|id| json!({"id": id, "name": "web"}))
        .collect()
}

on_each_store!(two_hundred_jobs_share_four_slots_and_no_repository_starves);

async fn two_hundred_jobs_share_four_slots_and_no_repository_starves(store: Settings<'_>) {
    needs("bwrap", "bubblewrap");
    needs("curl", "curl");
    let first = "octo-org/chem-model";
    let second = "octo-org/quiet";
    let world = json!({
        "repositories": [
            {"full_name": first, "permissions": {"alice": "write"}, "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"}},
            {"full_name": second, "permissions": {"alice": "write"}, "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"}},
        ],
        "pulls": [{"number": 7, "repository": first}, {"number": 8, "repository": second}],
        "runs": [
            {"id": 20, "repository": first, "pull": 7, "jobs": jobs(1000, 190)},
            {"id": 21, "repository": second, "pull": 8, "jobs": jobs(5000, 10)},
        ],
    });
    let of_both = ("repositories", "octo-org/chem-model,octo-org/quiet");
    let settings = [store, &[of_both, ("runners.max", "4")]].concat();
    let mut stage = Stage::set(world, &settings).await;
    for job in (1000..1190).chain(5000..5010) {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    let quiet = |id: &u64| *id >= 5000;
    let tally = stage
        .until("the second repository is served", |tally| {
            tally.jobs.iter().filter(|(id, _)| quiet(id)).all(|(_, job)| job.ran)
        })
        .await;
    let served_before = tally.jobs.iter().filter(|(id, job)| !quiet(id) && job.ran).count();
    assert!(
        served_before < 100,
        "{served_before} jobs of the first repository went before ten of the second"
    );
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs.values().all(|job| job.ran), "{tally:?}");
    let runners = stage.gate.ask("/api/v1/runners?all=true&limit=1000").await.body;
    let runners = runners["runners"].as_array().expect("a list").iter();
    let unused: Vec<&Value> = runners.filter(|runner| runner["outcome"] != "completed").collect();
    assert_eq!(
        (tally.minted, tally.ran),
        (200, 200),
        "one runner each, but: {unused:#?}"
    );
    assert!(stage.most_runners() <= 4, "{} runners at once", stage.most_runners());
    assert_eq!(stage.gate.alerts().await, [""; 0]);
}
