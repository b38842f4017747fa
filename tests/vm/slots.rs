//! The life of one slot: it boots or resumes, is claimed once, asks at its gate, and leaves nothing behind.

use crate::built::image;
use crate::machine::waiting::listed;
use crate::machine::{HOOK, Stage, TIMEOUT, booted, claim, eventually, processes, runner, until};
use jitgate::adapters::hosts::qemu::Settings;
use jitgate::config::{Accel, Machine, VmNetwork};
use jitgate::domain::slot::{Ending, SlotState};
use jitgate::ports::{Failure, RunnerHost};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;

type Change = fn(&mut Settings);

#[tokio::test]
async fn a_job_runs_in_a_machine_of_its_own_and_nothing_is_left() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let slot = booted(&host).await;
    let script = format!("id -un; uname -n\n{HOOK}echo done");
    claim(&host, &slot, &script).await;
    let at_gate = until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
    let SlotState::AtGate(hello) = at_gate.state else {
        unreachable!()
    };
    assert_eq!((hello.run_id, hello.run_attempt), (Some(42), Some(2)));
    assert!(!stage.output(&slot).contains("a step runs"), "{}", stage.output(&slot));
    host.open_gate(&slot).await.expect("opened");
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    let output = stage.output(&slot);
    for line in ["runner\n", "jitgate\n", "a step runs\n", "done\n"] {
        assert!(output.contains(line), "{line} in {output}");
    }
    let again = host
        .claim(&slot, &runner(&slot), SecretString::from("again".to_owned()))
        .await;
    assert!(matches!(again, Err(Failure::Permanent(_))), "{again:?}");
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
    assert!(!stage.folder(&slot).exists());
    assert_eq!(listed(&host, &slot).await, None);
}

#[tokio::test]
async fn machines_that_resume_from_one_template_have_different_random_numbers_and_the_right_time() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let slot = booted(&host).await;
        assert!(
            stage.path("state/qemu/testtest/template-320-1-1.img").exists(),
            "there is a template"
        );
        assert!(!stage.folder(&slot).join("resume-failed").exists(), "it resumed");
        let script = "head -c 16 /dev/urandom | od -An -tx1; perl -e 'print \"time \", time, \"\\n\"'";
        claim(&host, &slot, script).await;
        until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
        let output = stage.output(&slot);
        let random = output.lines().nth(1).expect("a line").to_owned();
        assert_eq!(random.split_whitespace().count(), 16, "{output}");
        assert!(seen.insert(random), "{output} came before: {seen:?}");
        let time: u64 = output
            .lines()
            .find_map(|line| line.strip_prefix("time ")?.parse().ok())
            .expect("a time");
        let here = fs::metadata(
            stage
                .settings
                .state_dir
                .join("qemu/testtest/output")
                .join(format!("{}.log", runner(&slot))),
        );
        let here = here.and_then(|about| about.modified()).expect("a time");
        let here = here
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!(here.abs_diff(time) < 10, "{time} in the guest, {here} here");
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn a_machine_that_cannot_resume_boots_and_that_is_noted_once() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let first = booted(&host).await;
    // The disk of the template belongs to its memory; without it no machine resumes.
    fs::remove_file(stage.path("state/qemu/testtest/template-320-1-1.img")).expect("removed");
    let second = booted(&host).await;
    claim(&host, &second, "echo it runs").await;
    until(&host, &second, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    assert!(stage.output(&second).contains("it runs"));
    assert_eq!(host.resume_failures(), Some(1));
    for slot in [first, second] {
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn a_machine_that_ends_at_its_start_is_reported_with_the_words_of_qemu() {
    let mut stage = Stage::new(&image());
    stage.settings.qemu.kernel = Some(image().join("manifest.json"));
    let host = stage.host();
    let slot = host.boot(None).await.expect("booting");
    let ended = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert!(
        matches!(&ended.state, SlotState::Ended(Ending::BootFailed(why)) if why.contains("its console says: qemu")),
        "{ended:?}"
    );
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
}

#[tokio::test]
async fn q35_works_too_with_the_accelerator_that_works_here() {
    let mut stage = Stage::new(&image());
    stage.settings.qemu.machine = Machine::Q35;
    // A device of KVM that opens and does not work costs the time of a trial.
    stage.settings.qemu.accel = Accel::Auto;
    let host = stage.host();
    let slot = booted(&host).await;
    claim(&host, &slot, "echo it runs").await;
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    assert!(stage.output(&slot).contains("it runs"));
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_killed_keeper_takes_its_machine_with_it() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let slot = booted(&host).await;
    let status = fs::read_to_string(stage.folder(&slot).join("status.json")).expect("a status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let keeper = status["keeper"]["pid"].as_i64().expect("a keeper").to_string();
    std::process::Command::new("kill")
        .args(["-9", &keeper])
        .status()
        .expect("kill");
    eventually("the machine is gone", || processes(&slot).is_empty().then_some(())).await;
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Lost)).await;
    host.destroy(&slot).await.expect("destroyed");
    assert!(!stage.folder(&slot).exists());
}

#[tokio::test]
async fn an_idle_machine_of_an_older_image_is_outdated_and_a_busy_one_is_not() {
    let mut stage = Stage::new(&image());
    let link = stage.path("current");
    std::os::unix::fs::symlink(image(), &link).expect("a link");
    stage.settings.qemu.image = Some(link.clone());
    let host = stage.host();
    let (idle, busy) = (booted(&host).await, booted(&host).await);
    claim(&host, &busy, "echo it runs; sleep 1000").await;
    let newer = stage.path("newer");
    fs::create_dir(&newer).expect("a folder");
    for file in fs::read_dir(image()).expect("files") {
        let file = file.expect("a file");
        std::os::unix::fs::symlink(file.path(), newer.join(file.file_name())).expect("a link");
    }
    fs::remove_file(&link).expect("removed");
    std::os::unix::fs::symlink(&newer, &link).expect("a link");
    let state = listed(&host, &idle).await.expect("it is listed").state;
    assert_eq!(state, SlotState::Ended(Ending::Outdated));
    assert_eq!(state.boot_failure(), None, "it counts as no failure");
    let state = listed(&host, &busy).await.expect("it is listed").state;
    assert_eq!(state, SlotState::Claimed);
    for slot in [idle, busy] {
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn an_idle_machine_that_differs_from_the_settings_is_outdated_and_a_busy_one_is_not() {
    let mut stage = Stage::new(&image());
    let host = stage.host();
    let (idle, busy) = (booted(&host).await, booted(&host).await);
    claim(&host, &busy, "echo it runs; sleep 1000").await;
    drop(host);
    let outdated = SlotState::Ended(Ending::Outdated);
    let settings = stage.settings.clone();
    let changes: [(&str, Change, SlotState); 4] = [
        ("nothing", |_| {}, SlotState::Ready),
        ("memory", |s| s.qemu.memory_mib = NonZeroU32::MAX, outdated.clone()),
        ("network", |s| s.qemu.network = VmNetwork::Open, outdated.clone()),
        ("the former settings", |_| {}, SlotState::Ready),
    ];
    for (what, change, expected) in changes {
        stage.settings = settings.clone();
        change(&mut stage.settings);
        let host = stage.host();
        let state = listed(&host, &idle).await.expect("it is listed").state;
        assert_eq!(state, expected, "{what}");
        let state = listed(&host, &busy).await.expect("it is listed").state;
        assert_eq!(state, SlotState::Claimed, "{what}");
    }
    let host = stage.host();
    for slot in [idle, busy] {
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn the_disk_of_a_failed_machine_is_kept_if_the_operator_wants_it() {
    let mut stage = Stage::new(&image());
    stage.settings.qemu.keep_failed = TIMEOUT;
    let host = stage.host();
    let (failed, used) = (booted(&host).await, booted(&host).await);
    // A guest that talks at its gate without asking is hostile.
    let abuse =
        "perl -MIO::Socket::UNIX -e 'print {IO::Socket::UNIX->new(\"/run/jitgate/gate\")} \"x\\n\"'; sleep 1000";
    claim(&host, &failed, abuse).await;
    until(&host, &failed, |slot| {
        slot.state == SlotState::Ended(Ending::GateAbused)
    })
    .await;
    claim(&host, &used, "echo it runs").await;
    until(&host, &used, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    for slot in [&failed, &used] {
        host.destroy(slot).await.expect("destroyed");
    }
    let kept = stage.path("state/qemu/testtest/failed");
    let names: Vec<String> = fs::read_dir(&kept)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(names, std::slice::from_ref(&failed.0));
    assert!(kept.join(&failed.0).join("scratch.img").exists());
}
