//! The job gate, and guests that don't play by its rules.

use crate::stage::{HOOK, STAYS, Stage, TIMEOUT, answer, processes, runner, say, until};
use jitgate::adapters::hosts::local::LocalHost;
use jitgate::domain::slot::{Ending, Hello, SlotId, SlotState};
use jitgate::ports::{Failure, RunnerHost};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::time::Instant;

/// A job that never calls its hook by itself; the test does it.
async fn silent() -> (Stage, LocalHost, SlotId) {
    silent_for(TIMEOUT).await
}

/// The same, and how long it may wait for an answer.
async fn silent_for(gate_deadline: Duration) -> (Stage, LocalHost, SlotId) {
    let mut stage = Stage::new(&format!("setsid sleep 3600 & (setsid setsid sleep 3601 &)\n{STAYS}"));
    stage.settings.gate_deadline = gate_deadline;
    let (host, slot) = stage.claimed().await;
    (stage, host, slot)
}

async fn ends(host: &impl RunnerHost, stage: &Stage, slot: &SlotId) -> Ending {
    // Through the port, as the application sees it.
    let ended = async {
        loop {
            let slots = host.list().await.expect("a list");
            let found = slots.into_iter().find(|listed| listed.id == *slot).expect("listed");
            if let SlotState::Ended(ending) = found.state {
                return ending;
            }
            host.changed().await;
        }
    };
    let ending = tokio::time::timeout(TIMEOUT, ended).await.expect("it ends");
    assert_eq!(
        processes(slot),
        [] as [String; 0],
        "nothing is left when it is said to have ended"
    );
    assert!(stage.folder(slot).exists(), "its folder stays until it is destroyed");
    ending
}

fn permanent(result: Result<(), Failure>) -> bool {
    matches!(result, Err(Failure::Permanent(_)))
}

#[tokio::test]
async fn the_job_gate_opens_once_and_only_for_a_waiting_job() {
    let stage = Stage::new(&format!("{HOOK}{STAYS}"));
    let (host, slot) = stage.booted().await;
    assert!(
        permanent(host.open_gate(&slot).await),
        "no job waits in a slot that is only ready"
    );
    crate::stage::claim(&host, &slot).await;
    until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
    host.open_gate(&slot).await.expect("opened");
    stage.left(&slot, "step").await;
    until(&host, &slot, |slot| slot.state == SlotState::Open).await;
    assert!(permanent(host.open_gate(&slot).await), "it was opened before");
    // The second lock of the job that was let through.
    let again = stage.guest(&slot);
    say(&again, b"{}\n");
    assert_eq!(answer(&again), "go\n");
    host.destroy(&slot).await.expect("destroyed");
    assert!(permanent(host.open_gate(&slot).await), "it is destroyed");
}

#[tokio::test]
async fn a_job_gate_does_not_open_before_a_job_waits() {
    let (stage, host, slot) = silent_for(Duration::from_secs(1)).await;
    assert!(permanent(host.open_gate(&slot).await), "no job waits yet");
    let guest = stage.guest(&slot);
    say(&guest, b"{}\n");
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateUnanswered);
    assert_eq!(answer(&guest), "", "what was said too early does not count later");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_hello_is_passed_on_as_it_is_and_may_be_empty() {
    for (line, hello) in [
        ("{}\n", Hello::default()),
        (
            "{\"repository\":\"somebody/else\",\"run_id\":18446744073709551615,\"run_attempt\":4294967295}\n",
            Hello {
                repository: Some("somebody/else".to_owned()),
                run_id: Some(u64::MAX),
                run_attempt: Some(u32::MAX),
            },
        ),
    ] {
        let (_stage, host, slot) = silent().await;
        let guest = _stage.guest(&slot);
        say(&guest, line.as_bytes());
        let seen = until(&host, &slot, |slot| slot.state != SlotState::Claimed).await;
        assert_eq!(seen.state, SlotState::AtGate(hello));
        host.open_gate(&slot).await.expect("opened");
        assert_eq!(answer(&guest), "go\n");
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn without_an_answer_everything_dies() {
    let (stage, host, slot) = silent_for(Duration::from_secs(1)).await;
    let guest = stage.guest(&slot);
    let began = Instant::now();
    say(&guest, b"{}\n");
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateUnanswered);
    assert!(began.elapsed() >= Duration::from_millis(990), "not before the deadline");
    assert_eq!(answer(&guest), "");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn nonsense_is_killed() {
    let long = [b'x'; 100_000];
    for text in [
        &b"\n"[..],
        b"go\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"run_id\":\"seven\"}\n",
        b"{\"run_id\":1}{\"run_id\":2}\n",
        b"\xff\xfe\x00\n",
        &long,
    ] {
        let (stage, host, slot) = silent().await;
        let guest = stage.guest(&slot);
        say(&guest, text);
        assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused, "{:.20?}", text);
        assert_eq!(answer(&guest), "");
        assert!(permanent(host.open_gate(&slot).await));
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn silence_on_the_line_is_killed() {
    let (stage, host, slot) = silent().await;
    let guest = stage.guest(&slot);
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused);
    assert_eq!(answer(&guest), "");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_second_hello_gets_nothing_and_costs_the_first_nothing() {
    let (stage, host, slot) = silent().await;
    let guest = stage.guest(&slot);
    say(&guest, b"{\"run_id\":1}\n");
    until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
    let second = stage.guest(&slot);
    say(&second, b"{\"run_id\":2}\n");
    assert_eq!(answer(&second), "");
    host.open_gate(&slot).await.expect("opened");
    assert_eq!(answer(&guest), "go\n");
    let seen = until(&host, &slot, |slot| slot.state == SlotState::Open).await;
    assert_eq!(seen.runner, Some(runner(&slot)));
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn more_words_on_the_line_are_killed() {
    let (stage, host, slot) = silent().await;
    let guest = stage.guest(&slot);
    say(&guest, b"{}\n{}\n");
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused);
    assert_eq!(answer(&guest), "");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_flood_is_killed() {
    let (stage, host, slot) = silent().await;
    let first = stage.guest(&slot);
    say(&first, b"{}\n");
    // Until the keeper has had enough, and its socket is gone with it.
    let flood: Vec<UnixStream> = std::iter::from_fn(|| stage.try_guest(&slot).ok()).take(5000).collect();
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused);
    for guest in flood.iter().chain([&first]) {
        assert_eq!(answer(guest), "");
    }
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_hook_that_leaves_before_the_answer_takes_the_job_with_it() {
    // A failing hook does not stop `if: always()` steps.
    let (stage, host, slot) = silent().await;
    let guest = stage.guest(&slot);
    say(&guest, b"{}\n");
    until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
    drop(guest);
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused);
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_hook_that_is_killed_takes_the_job_with_it() {
    let stage = Stage::new(
        "bash \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\" & hook=$!\n\
         until test -e \"$HOME/kill\"; do sleep 0.01; done\n\
         kill -9 \"$hook\"; touch \"$HOME/always\"; sleep 3600\n",
    );
    let (host, slot) = stage.at_gate().await;
    std::fs::write(stage.folder(&slot).join("environment/home/kill"), "").expect("a file");
    assert_eq!(ends(&host, &stage, &slot).await, Ending::GateAbused);
    host.destroy(&slot).await.expect("destroyed");
}
