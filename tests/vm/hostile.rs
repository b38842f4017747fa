//! Hostile guests in real virtual machines: an image whose agent breaks the protocol of the channel. No step of a job runs, and
//! the machine is ended by its keeper.

use crate::image::beside;
use crate::machine::waiting::listed;
use crate::machine::{Stage, claim, processes, until};
use crate::{built, machine};
use jitgate::adapters::hosts::qemu::QemuHost;
use jitgate::domain::slot::{Ending, SlotId, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// Speaks with the keeper as the agent does, until it acts. The size of the disk selects the act.
const AGENT: &str = r#"#!/bin/bash
act=$(($(cat "$(dirname "$(grep -lx scratch /sys/block/*/serial)")/size") / 2097152))
port=/dev/$(basename "$(dirname "$(grep -lx jitgate /sys/class/virtio-ports/*/name)")")
exec 3<>"$port"
say() { printf '%s\n' "$1" >&3; }
hello() { say "{\"hello\":{\"nonce\":\"$nonce\",\"version\":1}}"; }
flood() { yes a line of a flood >&3; }
while IFS= read -r line <&3; do
    case $line in
    *'"open"'*)
        nonce=${line#*\"nonce\":\"}
        nonce=${nonce%%\"*}
        case $act in 1) ;; 2) flood ;; *) hello ;; esac
        ;;
    *'"prepare"'*) say '{"prepared":{}}' ;;
    *'"run"'*)
        say '{"started":{}}'
        case $act in
        3) hello ;;
        4) say '{"hangup":{"id":99}}' ;;
        5) say '{"ask":{"id":1,'; say '"text":"{}"}}' ;;
        6) say '{"ask":{"id":1,"text":"go\n"}}' ;;
        7) flood ;;
        8) say '{"output":{"text":"a step runs"},"go":{}}' ;;
        esac
        ;;
    esac
done
# The first process of a machine must not end.
exec sleep infinity
"#;
/// Time for a guest that never gets ready. The tests of its good siblings have more.
const PATIENCE: Duration = Duration::from_secs(25);

/// Builds the image of the hostile agent, beside the common one.
fn image() -> (TempDir, PathBuf) {
    let place = beside();
    let program = place.path().join("agent");
    fs::write(&program, AGENT).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let (runner, program) = (built::runner().display().to_string(), program.display().to_string());
    built::jitgate(&["build", "--runner", &runner, "--program", &program], place.path());
    let image = place.path().join("current").canonicalize().expect("an image");
    (place, image)
}

/// Returns the ending of a slot, whatever came before.
async fn ending(host: &QemuHost, slot: &SlotId) -> Ending {
    let ended = async {
        loop {
            let state = listed(host, slot).await.expect("it is listed").state;
            if let SlotState::Ended(ending) = state {
                return ending;
            }
            assert!(!matches!(state, SlotState::AtGate(_) | SlotState::Open), "{state:?}");
            host.changed().await;
        }
    };
    timeout(machine::TIMEOUT, ended).await.expect("it ends")
}

fn act(stage: &mut Stage, number: u32) -> QemuHost {
    stage.settings.qemu.disk_gib = NonZeroU32::new(number).expect("not zero");
    stage.host()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_silent_or_floods_instead_of_its_hello_never_gets_ready() {
    let (_place, image) = image();
    for number in [1, 2] {
        let mut stage = Stage::new(&image);
        stage.settings.boot_deadline = PATIENCE;
        let host = act(&mut stage, number);
        let slot = host.boot(None).await.expect("booting");
        let ending = ending(&host, &slot).await;
        assert!(matches!(ending, Ending::BootFailed(_)), "act {number}: {ending:?}");
        host.destroy(&slot).await.expect("destroyed");
        assert_eq!(processes(&slot), [] as [String; 0], "act {number}");
        assert!(!stage.folder(&slot).exists(), "act {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_guest_that_breaks_the_protocol_is_ended_before_any_step() {
    let (_place, image) = image();
    for number in 3..=8 {
        let mut stage = Stage::new(&image);
        let host = act(&mut stage, number);
        let slot = host.boot(None).await.expect("booting");
        until(&host, &slot, |slot| slot.state == SlotState::Ready).await;
        claim(&host, &slot, "echo a step runs").await;
        let ending = ending(&host, &slot).await;
        assert_eq!(ending, Ending::GateAbused, "act {number}: {}", stage.output(&slot));
        assert!(!stage.output(&slot).contains("a step runs"), "act {number}");
        host.destroy(&slot).await.expect("destroyed");
        assert_eq!(processes(&slot), [] as [String; 0], "act {number}");
    }
}
