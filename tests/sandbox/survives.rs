//! Jobs survive the death of the worker, and end with the death of their keeper.

use crate::stage::{HOOK, STAYS, Stage, claim, eventually, listed, processes, runner, until};
use jitgate::config::Sandbox;
use jitgate::domain::slot::{Ending, SlotId, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// The process that keeps a slot.
fn keeper(stage: &Stage, slot: &SlotId) -> String {
    let folder = stage.folder(slot).display().to_string();
    let mut ids = fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains(" internal keep ") && line.contains(&folder)).then(|| entry.file_name().into_string().ok())?
    });
    ids.next().expect("a keeper")
}

fn signal(signal: &str, process: &str) {
    let status = Command::new("kill").args([signal, process]).status().expect("kill");
    assert!(status.success());
}

#[tokio::test]
async fn a_job_survives_its_worker_and_the_next_worker_finds_it() {
    let stage = Stage::new(&format!("{HOOK}\nuntil test -e \"$HOME/end\"; do sleep 0.01; done\n"));
    let (host, slot) = stage.at_gate().await;
    let ready = host.boot(None).await.expect("booted");
    until(&host, &ready, |slot| slot.state == SlotState::Ready).await;
    let before = host.list().await.expect("a list");
    drop(host);
    let host = stage.host();
    assert_eq!(host.list().await.expect("a list"), before);
    host.open_gate(&slot).await.expect("opened by the next gate");
    stage.left(&slot, "step").await;
    drop(host);
    let host = stage.host();
    until(&host, &slot, |slot| slot.state == SlotState::Open).await;
    claim(&host, &ready).await;
    crate::stage::file(&stage.folder(&slot).join("environment/home/end"), "", 0o644);
    let ended = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(
        (ended.state, ended.runner),
        (SlotState::Ended(Ending::Exited), Some(runner(&slot)))
    );
    for slot in [&slot, &ready] {
        host.destroy(slot).await.expect("destroyed");
    }
    assert_eq!(host.list().await.expect("a list"), []);
}

#[tokio::test]
async fn deadlines_hold_without_a_worker() {
    let mut stage = Stage::new(&format!("{HOOK}{STAYS}"));
    stage.settings.gate_deadline = Duration::from_secs(1);
    let (host, slot) = stage.at_gate().await;
    drop(host);
    eventually("the end of all processes", || processes(&slot).is_empty().then_some(())).await;
    let host = stage.host();
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::GateUnanswered));
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn the_environment_dies_with_its_keeper() {
    let stage = Stage::new(&format!("setsid sleep 3600 & {HOOK}{STAYS}"));
    let (host, slot) = stage.at_gate().await;
    signal("-9", &keeper(&stage, &slot));
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::Lost));
    assert_eq!(seen.runner, Some(runner(&slot)));
    eventually("the end of all processes", || processes(&slot).is_empty().then_some(())).await;
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(listed(&host, &slot).await, None);
}

#[tokio::test]
async fn without_a_sandbox_the_processes_of_a_dead_keeper_are_found() {
    let mut stage = Stage::new(&format!("setsid sleep 3600 & (setsid sleep 3601 &)\n{HOOK}{STAYS}"));
    stage.settings.local.sandbox = Sandbox::None;
    let (host, slot) = stage.at_gate().await;
    signal("-9", &keeper(&stage, &slot));
    drop(host);
    let host = stage.host();
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::Lost));
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
}

#[tokio::test]
async fn a_keeper_that_hangs_is_killed_with_what_it_keeps() {
    let stage = Stage::new(&format!("setsid sleep 3600 & {HOOK}{STAYS}"));
    let (host, slot) = stage.at_gate().await;
    signal("-STOP", &keeper(&stage, &slot));
    let began = Instant::now();
    host.destroy(&slot).await.expect("destroyed");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(processes(&slot), [] as [String; 0]);
    assert_eq!(listed(&host, &slot).await, None);
}

#[tokio::test]
async fn a_slot_that_a_crash_left_half_made_is_lost_and_can_be_destroyed() {
    let stage = Stage::new("");
    let host = stage.host();
    let slots = stage.settings.state_dir.join("local/testtest/slots");
    fs::create_dir_all(slots.join("slot-1-0/environment/actions-runner")).expect("a folder");
    let (_, before) = stage.booted().await;
    // As after a restart of the machine.
    let status = stage.folder(&before).join("status.json");
    let text = fs::read_to_string(&status).expect("a status");
    let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("an id");
    fs::write(&status, text.replace(start.trim(), "another-start")).expect("written");
    let listed = host.list().await.expect("a list");
    assert_eq!(listed.len(), 2);
    for slot in listed {
        assert_eq!(slot.state, SlotState::Ended(Ending::Lost), "{slot:?}");
        host.destroy(&slot.id).await.expect("destroyed");
    }
    assert_eq!(host.list().await.expect("a list"), []);
}

#[tokio::test]
async fn a_keeper_without_an_order_leaves_the_slot_unchanged() {
    let stage = Stage::new(&format!("{HOOK}{STAYS}"));
    let (host, slot) = stage.booted().await;
    let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
        .args(["internal", "keep"])
        .arg(stage.folder(&slot))
        .stdin(Stdio::null())
        .output()
        .expect("jitgate starts");
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        listed(&host, &slot).await.map(|slot| slot.state),
        Some(SlotState::Ready)
    );
    claim(&host, &slot).await;
    host.destroy(&slot).await.expect("destroyed");
}
