//! The end of slots: all of their processes die, then their directory is removed.

use crate::stage::{HOOK, STAYS, Stage, claim, eventually, file, listed, processes, runner, until};
use jitgate::adapters::hosts::local::LocalHost;
use jitgate::config::Sandbox;
use jitgate::domain::slot::{Ending, SlotId, SlotState};
use jitgate::ports::{Failure, RunnerHost};
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::Instant;

/// Leaves children behind in every way there is.
const FAMILY: &str = "
sleep 3600 & setsid sleep 3601 & (setsid sleep 3602 & ) ; (setsid sh -c 'setsid sh -c \"sleep 3603 & sleep 3604\" &' &)
nohup setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 3605; done' >/dev/null 2>&1 &
";

async fn has_family(slot: &SlotId) {
    eventually("a family of processes", || (processes(slot).len() >= 7).then_some(())).await;
}

async fn ended(host: &LocalHost, slot: &SlotId) -> SlotState {
    until(host, slot, |slot| matches!(slot.state, SlotState::Ended(_)))
        .await
        .state
}

fn nothing_is_left(slot: &SlotId) {
    assert_eq!(processes(slot), [] as [String; 0]);
}

#[tokio::test]
async fn at_the_end_of_its_first_process_nothing_is_left() {
    let stage = Stage::new(&format!("{FAMILY}\nuntil test -e \"$HOME/end\"; do sleep 0.01; done\n"));
    for sandbox in [Sandbox::Bwrap, Sandbox::None] {
        let mut stage =
            Stage::new(&std::fs::read_to_string(stage.settings.local.runner_home.join("run.sh")).expect("it"));
        stage.settings.local.sandbox = sandbox;
        let (host, slot) = stage.claimed().await;
        has_family(&slot).await;
        file(&stage.folder(&slot).join("environment/home/end"), "", 0o644);
        assert_eq!(
            ended(&host, &slot).await,
            SlotState::Ended(Ending::Exited),
            "{sandbox:?}"
        );
        nothing_is_left(&slot);
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_killed() {
    let takes_too_long = async |sandbox| {
        let mut stage = Stage::new(&format!("{FAMILY}{STAYS}"));
        stage.settings.local.sandbox = sandbox;
        stage.settings.job_deadline = Duration::from_secs(3);
        let (host, slot) = stage.claimed().await;
        has_family(&slot).await;
        assert_eq!(
            ended(&host, &slot).await,
            SlotState::Ended(Ending::TooLong),
            "{sandbox:?}"
        );
        nothing_is_left(&slot);
        host.destroy(&slot).await.expect("destroyed");
    };
    tokio::join!(takes_too_long(Sandbox::Bwrap), takes_too_long(Sandbox::None));
}

#[tokio::test]
async fn a_destroyed_slot_is_gone_at_once() {
    for sandbox in [Sandbox::Bwrap, Sandbox::None] {
        let mut stage = Stage::new(&format!("{FAMILY}{HOOK}{STAYS}"));
        stage.settings.local.sandbox = sandbox;
        let (host, slot) = stage.at_gate().await;
        has_family(&slot).await;
        let began = Instant::now();
        host.destroy(&slot).await.expect("destroyed");
        assert!(
            // Less than the host would wait for a keeper that hangs. It takes 0.1 s where nothing else runs.
            began.elapsed() < Duration::from_secs(2),
            "{sandbox:?}: {:?}",
            began.elapsed()
        );
        nothing_is_left(&slot);
        assert_eq!(listed(&host, &slot).await, None);
        assert!(!stage.folder(&slot).exists());
        host.destroy(&slot).await.expect("nothing to destroy is no failure");
    }
}

#[tokio::test]
async fn all_files_of_a_job_are_removed() {
    let stage = Stage::new(
        "mkdir -p \"$HOME/a/b/c\" closed; touch \"$HOME/a/b/c/file\" closed/file; ln -s / \"$HOME/root\"; ln -s \"$HOME\" closed/home\n\
         mkfifo \"$HOME/pipe\"; chmod 444 closed/file; chmod 555 \"$HOME/a/b/c\" \"$HOME/a/b\"; chmod 000 \"$HOME/a\" closed\n\
         (cd /tmp; d=$(printf '%0200d' 0); for i in $(seq 60); do mkdir $d; cd $d; done) 2>/dev/null\n\
         echo done\n",
    );
    let outside = stage.path("outside");
    file(&outside, "kept", 0o644);
    let (host, slot) = stage.claimed().await;
    assert_eq!(ended(&host, &slot).await, SlotState::Ended(Ending::Exited));
    assert_eq!(stage.output(&runner(&slot)), "done\n");
    host.destroy(&slot).await.expect("destroyed");
    assert!(!stage.folder(&slot).exists());
    assert!(outside.exists() && std::path::Path::new("/usr/bin").exists());
}

#[tokio::test]
async fn a_slot_in_every_state_can_be_destroyed() {
    let stage = Stage::new(&format!("{HOOK}{STAYS}"));
    let host = stage.host();
    let booting = host.boot(None).await.expect("booted");
    host.destroy(&booting).await.expect("destroyed while it boots");
    assert!(!stage.folder(&booting).exists());
    let (host, ready) = stage.booted().await;
    host.destroy(&ready).await.expect("destroyed");
    let (host, claimed) = stage.claimed().await;
    host.destroy(&claimed).await.expect("destroyed");
    let (host, open) = stage.at_gate().await;
    host.open_gate(&open).await.expect("opened");
    host.destroy(&open).await.expect("destroyed");
    host.destroy(&SlotId("slot-1-1".to_owned()))
        .await
        .expect("nothing to destroy is no failure");
    host.destroy(&SlotId("../../outside".to_owned()))
        .await
        .expect("no slot at all");
    assert_eq!(host.list().await.expect("a list"), []);
}

#[tokio::test]
async fn a_slot_is_used_once() {
    let stage = Stage::new(&format!("{HOOK}{STAYS}"));
    let (host, slot) = stage.claimed().await;
    let claim_again = async || host.claim(&slot, "chem-jit-other", SecretString::from("x")).await;
    assert!(matches!(claim_again().await, Err(Failure::Permanent(_))));
    until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
    assert!(matches!(claim_again().await, Err(Failure::Permanent(_))));
    host.destroy(&slot).await.expect("destroyed");
    assert!(matches!(claim_again().await, Err(Failure::Permanent(_))));
    // Two at once: one wins.
    let (host, slot) = stage.booted().await;
    let both = tokio::join!(
        host.claim(&slot, "one", SecretString::from("x")),
        host.claim(&slot, "two", SecretString::from("y"))
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn four_at_once_do_not_see_each_other() {
    let stage = Stage::new(&format!("ls -d /proc/[0-9]* | wc -l >\"$HOME/seen\"\n{HOOK}{STAYS}"));
    let host = stage.host();
    let slots = futures::future::join_all((0..4).map(|_| host.boot(None))).await;
    let slots: Vec<SlotId> = slots.into_iter().map(|slot| slot.expect("booted")).collect();
    for slot in &slots {
        until(&host, slot, |slot| slot.state == SlotState::Ready).await;
    }
    futures::future::join_all(slots.iter().map(|slot| claim(&host, slot))).await;
    for slot in &slots {
        until(&host, slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
        let seen: usize = stage.left(slot, "seen").await.trim().parse().expect("a number");
        assert!(seen < 8, "{seen} processes");
    }
    futures::future::join_all(slots.iter().map(|slot| host.open_gate(slot))).await;
    for slot in &slots {
        stage.left(slot, "step").await;
        until(&host, slot, |slot| slot.state == SlotState::Open).await;
    }
    let gone = futures::future::join_all(slots.iter().map(|slot| host.destroy(slot))).await;
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    assert_eq!(host.list().await.expect("a list"), []);
}

#[tokio::test]
async fn output_is_kept_with_a_cap() {
    let stage = Stage::new("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last; echo complaint >&2\n");
    let (host, slot) = stage.claimed().await;
    assert_eq!(ended(&host, &slot).await, SlotState::Ended(Ending::Exited));
    host.destroy(&slot).await.expect("destroyed");
    let output = stage.output(&runner(&slot));
    assert!(
        output.starts_with("first\nxxx") && output.ends_with("was dropped\n"),
        "{:.20}",
        output
    );
    assert!(output.len() < 1_100_000, "{}", output.len());
    // Of many runners, the latest.
    let folder = stage.settings.state_dir.join("local/testtest/output");
    for number in 0..150 {
        file(&folder.join(format!("old-{number}.log")), "x", 0o600);
    }
    let (host, slot) = stage.claimed().await;
    host.destroy(&slot).await.expect("destroyed");
    let kept = std::fs::read_dir(folder).expect("a folder").count();
    assert!(kept <= 101, "{kept}");
}
