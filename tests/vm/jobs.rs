//! `serve` with virtual machines against the simulated GitHub: one machine for each job, and nothing is left of any.

use crate::built::image;
use crate::machine::{eventually, processes_of};
use crate::stage::{Stage, needs, world};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

/// The number of jobs and of slots, and of kills, which these variables change: see docs/vm-host.md.
const JOBS: (&str, u64) = ("JITGATE_TEST_VM_JOBS", 4);
const SLOTS: (&str, u64) = ("JITGATE_TEST_VM_SLOTS", 2);
const KILLS: (&str, u64) = ("JITGATE_TEST_VM_KILLS", 3);

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for in the environment")]
fn number((variable, default): (&str, u64)) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| text.parse().expect(variable))
}

/// The settings of a gate with at most two machines, none of which waits without a job.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
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

/// Returns the entries of this folder of each instance.
pub(crate) fn below(state: &Path, folder: &str) -> Vec<PathBuf> {
    let instances = fs::read_dir(state.join("qemu")).into_iter().flatten().flatten();
    let entries = instances.flat_map(|instance| fs::read_dir(instance.path().join(folder)).into_iter().flatten());
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Returns the names of the slots that have a disk.
pub(crate) fn machines(state: &Path) -> Vec<String> {
    let slots = below(state, "slots").into_iter();
    slots
        .filter(|slot| slot.join("scratch.img").exists())
        .filter_map(|slot| slot.file_name()?.to_str().map(str::to_owned))
        .collect()
}

/// Waits until no folder of a slot is left, which holds its disk and its sockets.
pub(crate) async fn no_slot_is_left(state: &Path) {
    eventually("no slot is left", || below(state, "slots").is_empty().then_some(())).await;
}

/// Waits until the gate has left no slot, and no process of one or of a template.
async fn nothing_is_left(state: &Path, watch: &Watch) {
    no_slot_is_left(state).await;
    let mut names = watch.seen.lock().expect("no panic").machines.clone();
    assert!(!names.is_empty(), "a machine was seen");
    names.extend(below(state, "").iter().filter_map(|path| {
        let instance = path.parent()?.file_name()?.to_str()?;
        Some(format!("template-{instance}"))
    }));
    for name in names {
        eventually("no process is left", || processes_of(&name).is_empty().then_some(())).await;
    }
}

/// Returns the output of all runners.
pub(crate) fn outputs(state: &Path) -> Vec<String> {
    let files = below(state, "output").into_iter();
    files.map(|file| fs::read_to_string(file).expect("an output")).collect()
}

/// A moment at which a gate is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The template is made.
    Template,
    /// A slot starts or resumes.
    Start,
    /// A runner works.
    Runner,
}

impl Moment {
    /// Waits for the moment, of which only files tell.
    async fn comes(self, state: &Path) {
        let has_come = || match self {
            Self::Template => below(state, "")
                .iter()
                .any(|path| path.ends_with("template-320-1-1.img")),
            Self::Start => !machines(state).is_empty(),
            Self::Runner => !below(state, "output").is_empty(),
        };
        let mut often = interval(Duration::from_millis(5));
        let coming = async {
            while !has_come() {
                often.tick().await;
            }
        };
        let came = timeout(Duration::from_secs(60), coming).await;
        assert!(came.is_ok(), "{self:?} never came");
    }
}

async fn stage(jobs: u64, more: &[(&str, &str)]) -> Stage {
    let jobs: Vec<Value> = (1000..1000 + jobs)
        .map(|id| json!({"id": id, "name": "web", "duration_s": id % 2}))
        .collect();
    let runs = json!([{"id": 20, "pull": 7, "jobs": jobs}]);
    stage_of(world(runs, json!([{"number": 7}])), more).await
}

/// Returns a world that waits for the reports of emulated machines.
pub(crate) fn patient(mut world: Value) -> Value {
    world["report_timeout_s"] = json!(60);
    world
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
    Stage::set(patient(world), &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn four_jobs_over_two_slots_have_a_machine_each_and_see_nothing_of_each_other() {
    let (jobs, slots) = (number(JOBS), number(SLOTS));
    let mut stage = stage(jobs, &[("runners.max", &slots.to_string())]).await;
    let state = stage.gate.place.path("jitgate-state");
    let watch = Watch::begin(state.clone());
    for job in 1000..1000 + jobs {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    let outputs = outputs(&state);
    assert!(tally.jobs.values().all(|job| job.ran), "{tally:?}\n{outputs:#?}");
    assert_eq!((tally.minted, tally.ran), (jobs, jobs), "one runner each");
    {
        let seen = watch.seen.lock().expect("no panic");
        assert_eq!(seen.machines.len() as u64, jobs, "a machine each: {seen:?}");
        assert!(seen.most as u64 <= slots, "{seen:?}");
    }
    assert_eq!(outputs.len() as u64, jobs);
    for output in outputs {
        assert!(output.contains("the first job here"), "{output}");
        assert!(!output.contains("an earlier job was here"), "{output}");
    }
    nothing_is_left(&state, &watch).await;
    assert_eq!(stage.gate.alerts().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_killed_three_times_serves_every_job_once_and_leaves_no_machine() {
    let kills = number(KILLS);
    let mut stage = stage(kills, &[("runners.attempts", "60")]).await;
    let state = stage.gate.place.path("jitgate-state");
    let watch = Watch::begin(state.clone());
    for job in 1000..1000 + kills {
        stage.deliver("queued", job).await;
    }
    stage.go_on();
    let moments = [Moment::Template, Moment::Start, Moment::Runner].into_iter().cycle();
    for (moment, _) in moments.zip(0..kills) {
        moment.comes(&state).await;
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
    assert_eq!(tally.ran, kills, "each ran once");
    nothing_is_left(&state, &watch).await;
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
    let watch = Watch::begin(state.clone());
    // GitHub tells of the trusted job only, and gives its runner to the outsider's older one.
    stage.deliver("queued", 701).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(!tally.jobs[&666].ran, "a step of the thief ran: {tally:?}");
    assert!(tally.jobs[&701].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (2, 1), "one was stolen, and one more made");
    nothing_is_left(&state, &watch).await;
}
