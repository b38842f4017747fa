//! The first lock: the worker of the runner program begins when the gate says so, and once.

use crate::stage::{STAYS, Stage, answer, file, is_root, processes, say, until};
use jitgate::domain::slot::{Ending, Hello, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

/// Starts its worker as actions/runner does: two inherited pipes, and a message in the first.
const LISTENER: &str = r#"
mkfifo "$HOME/in" "$HOME/out"
exec {in}<>"$HOME/in" {out}<>"$HOME/out"
text='{"k":"repository","v":"octo-org/chem-model"},{"k":"run_id","v":"42"},{"k":"run_attempt","v":"2"}'
{ printf '\x01\x00\x00\x00'; printf "\\x$(printf %02x $((${#text} * 2)))\\x00\\x00\\x00"; printf %s "$text" | iconv -t UTF-16LE; } >&"$in"
bin/Runner.Worker spawnclient "$in" "$out" "a  b" && touch "$HOME/ended" || touch "$HOME/refused"
read -r line <&"$out"; echo "$line" >"$HOME/new"; mv "$HOME/new" "$HOME/answer"
"#;
/// Says what it was started with and which bytes came through its pipe, through the other one.
const WORKER: &str = r#"#!/bin/bash
touch "$HOME/began"
echo "$* $(basename "$0") $(head -c 4 <&"$2" | od -An -tu4 | tr -d ' ') $(head -c 40 <&"$2" | tr -d '\0' | cut -c2-)" >&"$3"
"#;

fn with_worker(script: &str) -> Stage {
    let stage = Stage::new(script);
    file(
        &stage.settings.local.runner_home.join("bin/Runner.Worker"),
        WORKER,
        0o755,
    );
    stage
}

#[tokio::test]
async fn nothing_of_a_job_runs_before_its_worker_may_begin_and_its_pipes_reach_it_whole() {
    let stage = with_worker(&format!("{LISTENER}{STAYS}"));
    let (host, slot) = stage.at_gate().await;
    // The message names the run, so that jitgate can ask GitHub about it without an event.
    let seen = until(&host, &slot, |slot| slot.state != SlotState::Claimed).await;
    let hello = Hello {
        repository: Some("octo-org/chem-model".to_owned()),
        run_id: Some(42),
        run_attempt: Some(2),
    };
    assert_eq!(seen.state, SlotState::AtGate(hello));
    let began = stage.folder(&slot).join("environment/home/began");
    assert!(!began.exists(), "the worker began before the gate opened");
    host.open_gate(&slot).await.expect("opened");
    let said = stage.left(&slot, "answer").await;
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[0], "spawnclient", "{said}");
    assert!(
        said.contains("a  b Runner.Worker.real 1 "),
        "its words and its message: {said}"
    );
    assert!(
        said.contains("{\"k\":\"repository\""),
        "the look into the pipe took nothing: {said}"
    );
    stage.left(&slot, "ended").await;
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_worker_that_is_not_let_through_never_begins() {
    let mut stage = with_worker(&format!("{LISTENER}{STAYS}"));
    stage.settings.gate_deadline = Duration::from_secs(1);
    let (host, slot) = stage.at_gate().await;
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::GateUnanswered));
    assert_eq!(processes(&slot), [] as [String; 0]);
    assert!(!stage.folder(&slot).join("environment/home/began").exists());
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn the_hook_of_a_job_that_was_let_through_is_answered_at_once_and_a_second_job_is_killed() {
    let stage = with_worker(&format!(
        "{LISTENER}\nbash \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\" 2>/dev/null && touch \"$HOME/hook\"\n\
         until test -e \"$HOME/again\"; do sleep 0.01; done; rm \"$HOME/began\"\n\
         bin/Runner.Worker spawnclient \"$in\" \"$out\"{STAYS}"
    ));
    let (host, slot) = stage.at_gate().await;
    host.open_gate(&slot).await.expect("opened");
    stage.left(&slot, "hook").await;
    // A job may write anything there, except the start of another worker.
    for nonsense in [&b"nonsense\n"[..], b"", b"\xff\n"] {
        let guest = stage.guest(&slot);
        say(&guest, nonsense);
        drop(guest);
    }
    let guest = stage.guest(&slot);
    say(&guest, b"{}\n");
    assert_eq!(answer(&guest), "go\n");
    let home = stage.folder(&slot).join("environment/home");
    file(&home.join("again"), "", 0o644);
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::GateAbused));
    assert!(!home.join("began").exists(), "one slot, one job");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_runner_program_that_was_updated_or_is_linked_has_the_lock_too() {
    let stage = with_worker("");
    let home = &stage.settings.local.runner_home;
    // An update of actions/runner leaves this.
    fs::rename(home.join("bin"), home.join("bin.2.336.0")).expect("moved");
    symlink(home.join("bin.2.336.0"), home.join("bin")).expect("a link");
    let (host, slot) = stage.booted().await;
    let bin = stage.folder(&slot).join("environment/actions-runner/bin");
    assert!(!bin.symlink_metadata().expect("a folder").is_symlink());
    let lock = fs::read_to_string(bin.join("Runner.Worker")).expect("the lock");
    assert!(lock.contains(" internal worker "), "{lock}");
    assert_eq!(
        fs::read_to_string(bin.join("Runner.Worker.real")).expect("the worker"),
        WORKER
    );
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(
        fs::read_to_string(home.join("bin/Runner.Worker")).expect("it stays"),
        WORKER
    );
    // Linked where it belongs to root and jobs have an account of their own.
    let mut stage = stage;
    stage.settings.local.user = Some("nobody".to_owned());
    if is_root() {
        let (host, slot) = stage.booted().await;
        let bin = stage.folder(&slot).join("environment/actions-runner/bin");
        let real = fs::metadata(bin.join("Runner.Worker.real")).expect("the worker");
        let of_home = stage.settings.local.runner_home.join("bin/Runner.Worker");
        assert_eq!(
            real.ino(),
            fs::metadata(&of_home).expect("the program").ino(),
            "it is linked"
        );
        let lock = fs::read_to_string(bin.join("Runner.Worker")).expect("the lock");
        assert!(lock.contains(" internal worker "), "{lock}");
        let mode = fs::metadata(bin.join("Runner.Worker"))
            .expect("the lock")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read_to_string(&of_home).expect("it stays"), WORKER);
        host.destroy(&slot).await.expect("destroyed");
    }
}
