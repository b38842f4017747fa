//! `serve` with a further size of machines: each job gets a machine of the size that it requests.

use crate::built::image;
use crate::jobs::{SETTINGS, below, no_slot_is_left, outputs, patient};
use crate::stage::{RUNNER_PROGRAM, Stage, world};
use crate::support::gate::{CONFIGURATION, Place};
use serde_json::{Value, json};
use std::path::Path;

const SIZES: &str = "[[qemu.sizes]]\nlabel = \"large\"\nmemory_mib = 448\ncpus = 2\ndisk_gib = 2\n";
/// A job that requests the further size, and one that requests none.
const LARGE: u64 = 1000;
const USUAL: u64 = 1001;

fn run(id: u64, job: u64, more: &[&str]) -> Value {
    let labels = [&["self-hosted", "linux", "x64", "chem-trusted-pr"], more].concat();
    json!({"id": id, "pull": 7, "jobs": [{"id": job, "name": "web", "labels": labels, "duration_s": 0}]})
}

/// Returns the numbers that a guest has written: processors, and memory and disk in MiB.
fn size_in(output: &str) -> [u64; 3] {
    let line = output.lines().find(|line| line.contains(" processors, "));
    let words = line.unwrap_or_else(|| panic!("no size in {output}")).split(' ');
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().expect("three numbers")
}

/// Returns the names of the disks of templates.
fn templates(state: &Path) -> Vec<String> {
    let mut names: Vec<String> = below(state, "")
        .iter()
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .filter(|name| name.starts_with("template-"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_a_machine_of_the_size_that_it_requests() {
    let place = Place::new();
    place.file("jitgate.toml", &format!("{CONFIGURATION}{SIZES}"), 0o600);
    let image = image().display().to_string();
    let settings = [SETTINGS, &[("qemu.image", &*image)]].concat();
    let pulls = json!([{"number": 7}]);
    let large = patient(world(json!([run(20, LARGE, &["large"])]), pulls));
    let mut stage = Stage::set_in(place, RUNNER_PROGRAM, large, &settings).await;
    let state = stage.gate.place.path("jitgate-state");
    stage.deliver("queued", LARGE).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&LARGE].ran, "{tally:?}");
    let [output] = <[String; 1]>::try_from(outputs(&state)).expect("one runner");
    let [cpus, memory, disk] = size_in(&output);
    assert_eq!(cpus, 2, "{output}");
    assert!((321..448).contains(&memory), "{output}");
    assert!((1537..=2048).contains(&disk), "{output}");

    // GitHub gives a job without a size to a larger runner too, so it comes when that runner is gone.
    let usual = json!({"runs": [run(21, USUAL, &[])]});
    stage.github.apply(&usual).await.expect("one more job");
    stage.deliver("queued", USUAL).await;
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&USUAL].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (2, 2), "one runner each");
    let rest: Vec<String> = outputs(&state).into_iter().filter(|other| *other != output).collect();
    let [output] = <[String; 1]>::try_from(rest).expect("one more runner");
    let [cpus, memory, disk] = size_in(&output);
    assert_eq!(cpus, 1, "{output}");
    assert!((192..320).contains(&memory), "{output}");
    assert!((512..=1024).contains(&disk), "{output}");

    let names = ["template-320-1-1.img", "template-448-2-2.img"];
    assert_eq!(templates(&state), names, "each size is resumed from its own");
    no_slot_is_left(&state).await;
    assert_eq!(stage.gate.alerts().await, [""; 0]);
}
