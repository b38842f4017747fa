//! Starts that do not go as they should: a machine that hangs, a template that cannot be made or is given up, and an
//! accelerator that does not work.

use crate::built::{self, image};
use crate::confined::qemu;
use crate::image::beside;
use crate::machine::waiting::listed;
use crate::machine::{Stage, booted, claim, eventually, processes, until};
use jitgate::adapters::hosts::qemu::QemuHost;
use jitgate::config::Accel;
use jitgate::domain::slot::{Ending, SlotId, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// jitgate as the agent. With a large disk, the program that seeds the random numbers fails. The text of jitgate follows.
const AGENT: &str = r#"#!/bin/bash
[ "$1" != --version ] || exit 0
tail -c +OFFSET "$0" >/run/agent
chmod 755 /run/agent
disk=$(dirname "$(grep -lx scratch /sys/block/*/serial)")
[ "$(cat "$disk/size")" = 2097152 ] || mount --bind /bin/false /usr/bin/perl
exec /run/agent "$@"
"#;
const TEMPLATE: &str = "state/qemu/testtest/template-320-1-1.img";

/// Returns the state of a slot after its start, which may have failed.
async fn booted_or_not(host: &QemuHost, slot: &SlotId) -> SlotState {
    loop {
        let state = listed(host, slot).await.expect("it is listed").state;
        if state != SlotState::Booting {
            return state;
        }
        host.changed().await;
    }
}

#[tokio::test]
async fn a_machine_that_hangs_while_it_resumes_is_killed_and_boots_on_a_new_disk() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let first = booted(&host).await;
    host.destroy(&first).await.expect("destroyed");
    let slot = host.boot(None).await.expect("booting");
    let stuck = eventually("QEMU runs", || qemu(&slot)).await.to_string();
    let stopped = Command::new("kill").args(["-STOP", &stuck]).status();
    assert!(stopped.expect("kill").success());
    until(&host, &slot, |slot| slot.state == SlotState::Ready).await;
    assert_eq!(host.resume_failures(), Some(1));
    let is_gone = || (!Path::new("/proc").join(&stuck).exists()).then_some(());
    eventually("the first machine is gone", is_gone).await;
    claim(&host, &slot, "echo it runs").await;
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    assert!(stage.output(&slot).contains("it runs"));
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
}

#[tokio::test]
async fn slots_boot_without_a_template_and_the_next_one_is_not_made_at_once() {
    let stage = Stage::new(&image());
    // A folder in the place of its disk.
    fs::create_dir_all(stage.path(TEMPLATE).join("x")).expect("a folder");
    let host = stage.host();
    let first = booted(&host).await;
    fs::remove_dir_all(stage.path(TEMPLATE)).expect("removed");
    let second = booted(&host).await;
    assert!(!stage.path(TEMPLATE).exists(), "it would fail each time");
    assert_eq!(host.resume_failures(), Some(0), "there was nothing to resume");
    for slot in [first, second] {
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn a_slot_that_is_destroyed_does_not_wait_for_its_template() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let slot = host.boot(None).await.expect("booting");
    eventually("the template boots", || stage.path(TEMPLATE).exists().then_some(())).await;
    host.destroy(&slot).await.expect("destroyed");
    assert!(!stage.path(TEMPLATE).exists(), "it was given up");
    assert!(!stage.folder(&slot).exists());
}

#[tokio::test]
async fn a_template_of_an_earlier_process_is_replaced() {
    let stage = Stage::new(&image());
    fs::create_dir_all(stage.path("state/qemu/testtest")).expect("a folder");
    fs::write(stage.path(TEMPLATE), "of an earlier process").expect("a file");
    let mut sleep = Command::new("sleep");
    let left = sleep.arg("600").env("JITGATE_SLOT", "template-testtest").spawn();
    let mut left = left.expect("a process that its template left");
    let host = stage.host();
    let slot = booted(&host).await;
    let ended = left.try_wait().expect("a state");
    assert!(ended.is_some_and(|status| !status.success()), "it was killed");
    let disk = fs::metadata(stage.path(TEMPLATE)).expect("a template");
    assert_eq!(disk.len(), 1 << 30);
    assert_eq!(host.resume_failures(), Some(0));
    host.destroy(&slot).await.expect("destroyed");
    drop(host);
    assert!(!stage.path(TEMPLATE).exists(), "its memory is gone too");
}

#[tokio::test]
async fn kvm_that_does_not_work_is_an_error_where_it_is_demanded() {
    let mut stage = Stage::new(&image());
    stage.settings.qemu.accel = Accel::Kvm;
    let host = stage.host();
    let slot = host.boot(None).await.expect("booting");
    let state = booted_or_not(&host, &slot).await;
    match state {
        // This machine has KVM.
        SlotState::Ready => {}
        SlotState::Ended(Ending::BootFailed(why)) => {
            assert!(why.contains("qemu.accel: /dev/kvm does not work: "), "{why}");
            assert!(why.contains("set qemu.accel = \"auto\""), "{why}");
        }
        state => panic!("{state:?}"),
    }
    assert!(!stage.path("state/qemu/testtest/trial.img").exists());
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_random_numbers_cannot_be_seeded_never_gets_ready() {
    let place = beside();
    let own = fs::read(env!("CARGO_BIN_EXE_jitgate")).expect("jitgate");
    // The number has as many digits as its word has letters.
    let offset = format!("{:06}", AGENT.len() + 1);
    let program = place.path().join("agent");
    fs::write(&program, [AGENT.replace("OFFSET", &offset).as_bytes(), &own].concat()).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let (runner, program) = (built::runner().display().to_string(), program.display().to_string());
    built::jitgate(&["build", "--runner", &runner, "--program", &program], place.path());
    let mut stage = Stage::new(&place.path().join("current").canonicalize().expect("an image"));
    for (disk_gib, is_ready) in [(1, true), (2, false)] {
        stage.settings.qemu.disk_gib = NonZeroU32::new(disk_gib).expect("not zero");
        let host = stage.host();
        let slot = host.boot(None).await.expect("booting");
        let state = booted_or_not(&host, &slot).await;
        // A machine that got ready would have the random numbers of every other one of its template.
        let has_failed = matches!(state, SlotState::Ended(Ending::BootFailed(_)));
        assert_eq!(
            (state == SlotState::Ready, has_failed),
            (is_ready, !is_ready),
            "{state:?}"
        );
        host.destroy(&slot).await.expect("destroyed");
    }
}
