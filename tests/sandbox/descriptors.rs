//! A machine that is out of file descriptors for a moment: that costs no job an attempt.

use crate::stage::{HOOK, Stage, claim, jit, until};
use jitgate::domain::slot::SlotState;
use jitgate::ports::{Failure, RunnerHost};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use std::fs::File;

/// Lets this process open so many more files, until it is dropped.
struct Shortage {
    before: Rlimit,
    _taken: Vec<File>,
}

impl Shortage {
    fn of(left: usize) -> Self {
        let before = getrlimit(Resource::Nofile);
        let current = Some(200);
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).expect("a lower limit");
        let mut taken: Vec<File> = (0..200).map_while(|_| File::open("/dev/null").ok()).collect();
        taken.truncate(taken.len() - left);
        Self { before, _taken: taken }
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).expect("the limit before");
    }
}

#[tokio::test]
async fn a_runner_that_no_descriptor_is_left_for_costs_its_job_no_attempt() {
    let stage = Stage::new(HOOK);
    let (host, slot) = stage.booted().await;
    let mut refused = 0;
    for left in 0..10 {
        let shortage = Shortage::of(left);
        let claimed = host
            .claim(&slot, "chem-jit-test-1-1", SecretString::from(jit(&slot)))
            .await;
        drop(shortage);
        match claimed {
            Ok(()) => break,
            Err(Failure::Transient(why)) => {
                assert!(why.contains("Too many open files"), "{why}");
                refused += 1;
            }
            Err(other) => panic!("with {left} descriptors left: {other:?}"),
        }
    }
    assert!(refused > 0, "no claim was refused");
    // The same slot is good as soon as there are descriptors again.
    if host.list().await.expect("a list")[0].state == SlotState::Ready {
        claim(&host, &slot).await;
    }
    until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
}

#[tokio::test]
async fn a_running_job_is_not_taken_for_lost_while_no_descriptor_is_left() {
    let stage = Stage::new(HOOK);
    let (host, slot) = stage.at_gate().await;
    for left in 0..10 {
        let shortage = Shortage::of(left);
        let listed = host.list().await;
        drop(shortage);
        match listed {
            Ok(slots) => assert!(matches!(slots[0].state, SlotState::AtGate(_)), "{slots:?}"),
            Err(Failure::Transient(why)) => assert!(why.contains("Too many open files"), "{why}"),
            Err(other) => panic!("with {left} descriptors left: {other:?}"),
        }
    }
    host.destroy(&slot).await.expect("destroyed");
}
