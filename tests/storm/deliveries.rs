//! The deliveries of a storm: a world of many jobs, and shuffled deliveries about them, some of them twice.

use crate::payload::{guid, job};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};

const HOSTED_JOBS_PER_RUN: usize = 25;
/// A third each is of members, of outsiders and of pushes.
const HOSTED_RUNS: usize = 20;
/// Trusted jobs that get a runner. Each is in a run of its own.
const POOL_JOBS: usize = 40;
/// Jobs of outsiders that request a runner.
const ATTEMPTS: usize = 60;
/// The number of deliveries that are repeated under the same GUID, and the number that are repeated under another one.
const REPEATS: usize = 200;

const FIRST_HOSTED_RUN: u64 = 1_000;
const FIRST_POOL_RUN: u64 = 2_000;
const FIRST_ATTEMPT_RUN: u64 = 3_000;

/// A random number generator (splitmix64) with a seed.
pub(crate) struct SeededRng(u64);

/// The variable that repeats an earlier storm.
const SEED: &str = "JITGATE_TEST_SEED";

impl SeededRng {
    /// Prints the seed, so that a developer can repeat the storm.
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a developer who looks for a bug sets the seed")]
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("{SEED}={seed}");
        Self(seed)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("it is below a usize")
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

/// A delivery that is not yet accepted.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) guid: String,
    pub(crate) job: u64,
    pub(crate) body: String,
}

/// The world of a storm and all of its deliveries.
pub(crate) struct Storm {
    pub(crate) world: Value,
    pub(crate) deliveries: Vec<Delivery>,
    /// The trusted jobs that request a runner.
    pub(crate) pool: BTreeSet<u64>,
}

impl Storm {
    pub(crate) fn generate(rng: &mut SeededRng) -> Self {
        let mut builder = Builder::default();
        for run in (FIRST_HOSTED_RUN..).take(HOSTED_RUNS) {
            builder.hosted_run(run);
        }
        let pool = (FIRST_POOL_RUN..).take(POOL_JOBS);
        let pool = pool.map(|run| builder.pool_run(run, 7)).collect();
        for run in (FIRST_ATTEMPT_RUN..).take(ATTEMPTS) {
            builder.pool_run(run, 8);
        }
        let Builder { runs, mut bodies } = builder;
        rng.shuffle(&mut bodies);
        let again: Vec<_> = bodies.iter().take(REPEATS).cloned().collect();
        let numbered = bodies.into_iter().chain(again).enumerate();
        let mut deliveries: Vec<Delivery> = numbered
            .map(|(number, (job, body))| Delivery {
                guid: guid(number),
                job,
                body,
            })
            .collect();
        rng.shuffle(&mut deliveries);
        let again: Vec<_> = deliveries.iter().take(REPEATS).cloned().collect();
        deliveries.extend(again);
        rng.shuffle(&mut deliveries);
        Self {
            world: world(&runs),
            deliveries,
            pool,
        }
    }

    /// Returns the GUIDs of the deliveries about each job.
    pub(crate) fn guids_by_job(&self) -> BTreeMap<u64, BTreeSet<String>> {
        let mut jobs: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for delivery in &self.deliveries {
            jobs.entry(delivery.job).or_default().insert(delivery.guid.clone());
        }
        jobs
    }
}

#[derive(Default)]
struct Builder {
    runs: Vec<Value>,
    bodies: Vec<(u64, String)>,
}

impl Builder {
    fn hosted_run(&mut self, run: u64) {
        let jobs: Vec<u64> = (run * 100..).take(HOSTED_JOBS_PER_RUN).collect();
        let listed: Vec<Value> = jobs
            .iter()
            .map(|id| json!({"id": id, "labels": ["ubuntu-latest"]}))
            .collect();
        let shown = match run % 3 {
            0 => json!({"id": run, "pull": 7, "jobs": listed}),
            1 => json!({"id": run, "pull": 8, "jobs": listed}),
            _ => json!({"id": run, "event": "push", "jobs": listed}),
        };
        self.runs.push(shown);
        for id in jobs {
            for action in ["queued", "in_progress", "completed"] {
                let mut payload = job(action, id);
                payload["workflow_job"]["labels"] = json!(["ubuntu-latest"]);
                payload["workflow_job"]["status"] = json!(action);
                self.deliver(payload, run, id);
            }
        }
    }

    /// Adds a run with one job that only a runner of its own can take. Returns the job.
    fn pool_run(&mut self, run: u64, pull: u64) -> u64 {
        let id = run * 100;
        let labels = json!([
            "self-hosted",
            "linux",
            "x64",
            "chem-trusted-pr",
            format!("chem-run-{run}")
        ]);
        self.runs
            .push(json!({"id": run, "pull": pull, "jobs": [{"id": id, "labels": labels}]}));
        let mut payload = job("queued", id);
        payload["workflow_job"]["labels"] = labels;
        self.deliver(payload, run, id);
        id
    }

    fn deliver(&mut self, mut payload: Value, run: u64, id: u64) {
        payload["workflow_job"]["run_id"] = json!(run);
        self.bodies.push((id, payload.to_string()));
    }
}

fn world(runs: &[Value]) -> Value {
    // The payloads name this commit.

    let head = "c0ffee00".repeat(5);
    json!({
        "pulls": [
            {"number": 7, "author": "alice", "head": {"sha": head}},
            {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
             "head": {"repository": "mallory/chem-model", "branch": "main", "sha": head}},
        ],
        "runs": runs,
        "permissions": {"alice": "write"},
        "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "rate_limit": {"limit": 1_000_000, "remaining": 1_000_000},
    })
}
