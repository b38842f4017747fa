//! `serve` with virtual machines against the simulated GitHub: one machine for each job, and nothing is left of any.

use crate::built::image;
use crate::stage::{Stage, needs, world};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// The settings of a gate with at most two machines, none of which waits without a job.
const SETTINGS: &[(&str, &str)] = &[
    ("runners.host", "qemu"),
    ("runners.min", "0"),
    ("runners.target", "0"),
    ("runners.max", "2"),
    ("qemu.accel", "tcg"),
    ("qemu.memory_mib", "320"),
    ("qemu.cpus", "1"),
    ("qemu.disk_gib", "1"),
    // The simulated GitHub is on this machine.
    ("qemu.network", "open"),
];

/// Looks at the slots and the machines of a gate until it is dropped.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The names of all slots that had a disk.
    machines: BTreeSet<String>,
    /// The most of them at a time.
    most: usize,
}

impl Watch {
    fn begin(state: PathBuf) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            let mut often = interval(Duration::from_millis(20));
            loop {
                often.tick().await;
                let now = machines(&state);
                let mut seen = shared.lock().expect("no panic");
                seen.most = seen.most.max(now.len());
                seen.machines.extend(now);
            }
        });
        Self { seen, task }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the names of the slots that have a disk.
fn machines(state: &Path) -> Vec<String> {
    let instances = fs::read_dir(state.join("qemu")).into_iter().flatten().flatten();
    let slots = instances.flat_map(|instance| fs::read_dir(instance.path().join("slots")).into_iter().flatten());
    slots
        .flatten()
        .filter(|slot| slot.path().join("scratch.img").exists())
        .filter_map(|slot| slot.file_name().into_string().ok())
        .collect()
}

/// Returns the output of all runners.
fn outputs(state: &Path) -> Vec<String> {
    let instances = fs::read_dir(state.join("qemu")).into_iter().flatten().flatten();
    let files = instances.flat_map(|instance| fs::read_dir(instance.path().join("output")).into_iter().flatten());
    files
        .flatten()
        .map(|file| fs::read_to_string(file.path()).expect("an output"))
        .collect()
}

async fn stage(jobs: u64, more: &[(&str, &str)]) -> Stage {
    let jobs: Vec<Value> = (1000..1000 + jobs)
        .map(|id| json!({"id": id, "name": "web", "duration_s": id % 2}))
        .collect();
    let runs = json!([{"id": 20, "pull": 7, "jobs": jobs}]);
    stage_of(world(runs, json!([{"number": 7}])), more).await
}

async fn stage_of(world: Value, more: &[(&str, &str)]) -> Stage {
    for (program, package) in [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("bwrap", "bubblewrap"),
        ("mke2fs", "e2fsprogs"),
    ] {
        needs(program, package);
    }
    let image = image().display().to_string();
    let settings = [SETTINGS, &[("qemu.image", &*image)], more].concat();
    Stage::set(world, &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn four_jobs_over_two_slots_have_a_machine_each_and_see_nothing_of_each_other() {
    let mut stage = stage(4, &[]).await;
    let state = stage.gate.place.path("jitgate-state");
    let watch = Watch::begin(state.clone());
    for job in 1000..1004 {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs.values().all(|job| job.ran), "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (4, 4), "one runner each");
    {
        let seen = watch.seen.lock().expect("no panic");
        assert_eq!(seen.machines.len(), 4, "a machine each: {seen:?}");
        assert!(seen.most <= 2, "{seen:?}");
    }
    let outputs = outputs(&state);
    assert_eq!(outputs.len(), 4);
    for output in outputs {
        assert!(output.contains("the first job here"), "{output}");
        assert!(!output.contains("an earlier job was here"), "{output}");
    }
    assert_eq!(machines(&state), [""; 0], "no disk is left");
    assert_eq!(stage.gate.alerts().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_killed_three_times_serves_every_job_once_and_leaves_no_machine() {
    let mut stage = stage(3, &[("runners.attempts", "60")]).await;
    let state = stage.gate.place.path("jitgate-state");
    for job in 1000..1003 {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    // While the template is made, while slots start or resume, and while jobs run.
    for moment in [700, 5_000, 2_500] {
        drop(timeout(Duration::from_millis(moment), std::future::pending::<()>()).await);
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
    assert_eq!(tally.ran, 3, "each ran once");
    assert_eq!(machines(&state), [""; 0], "no disk is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_machine_executes_no_step_and_its_job_gets_another() {
    let pulls = json!([
        {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
         "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
        {"number": 7},
    ]);
    let runs = json!([
        {"id": 30, "pull": 8, "jobs": [{"id": 666}]},
        {"id": 20, "pull": 7, "jobs": [{"id": 701}]},
    ]);
    let mut stage = stage_of(world(runs, pulls), &[]).await;
    let state = stage.gate.place.path("jitgate-state");
    // GitHub tells of the trusted job only, and gives its runner to the outsider's older one.
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(!tally.jobs[&666].ran, "a step of the thief ran: {tally:?}");
    assert!(tally.jobs[&701].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (2, 1), "one was stolen, and one more made");
    assert_eq!(machines(&state), [""; 0], "no disk is left");
}
