//! The limits of a job: memory, processes, processors and disk.

use crate::stage::{STAYS, Stage, file, is_root, problems, processes, until};
use jitgate::domain::slot::{Ending, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The control groups of a slot, anywhere in the trees.
fn groups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(name) {
                    found.push(entry.path());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}

#[tokio::test]
async fn a_job_that_takes_all_memory_is_killed_and_the_machine_is_not() {
    if !is_root() {
        return cannot_be_enforced();
    }
    // Kept away from any swap by being touched again and again.
    let mut stage = Stage::new(
        "perl -e 'my @all; push @all, \"x\" x (8 << 20) while @all < 64; print \"took it\"' >\"$HOME/took\"; echo $? >\"$HOME/new\"; mv \"$HOME/new\" \"$HOME/ended\"\n",
    );
    stage.settings.local.memory_mib = Some(128);
    let (host, slot) = stage.claimed().await;
    until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    let took = fs::read_to_string(stage.folder(&slot).join("environment/home/took")).expect("a file");
    assert_eq!(took, "", "half a gigabyte was not to be had");
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(groups(&slot.0), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_job_that_forks_without_end_is_held_up_and_goes_without_a_trace() {
    if !is_root() {
        return cannot_be_enforced();
    }
    let mut stage = Stage::new(&format!(
        "for i in $(seq 200); do sleep 3600 & done 2>/dev/null >&2; touch \"$HOME/forked\"{STAYS}"
    ));
    stage.settings.local.pids = Some(40);
    stage.settings.local.cpus = Some(1);
    let (host, slot) = stage.claimed().await;
    let made = groups(&slot.0);
    let read = |name: &str| made.iter().find_map(|group| fs::read_to_string(group.join(name)).ok());
    // By the group's own count: one that the job is not in bounds nothing.
    let count = || read("pids.current").and_then(|count| count.trim().parse::<u64>().ok());
    crate::stage::eventually("forty processes", || count().filter(|count| *count >= 30)).await;
    assert_eq!(read("pids.max").as_deref(), Some("40\n"), "{made:?}");
    let quota = read("cpu.cfs_quota_us")
        .or_else(|| read("cpu.max"))
        .expect("processors are limited");
    assert!(quota.starts_with("100000"), "{quota}");
    assert!(processes(&slot).len() <= 42, "those of the job, and its uplink");
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
    assert_eq!(groups(&slot.0), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_limit_that_this_machine_cannot_enforce_is_reported() {
    if !is_root() {
        return cannot_be_enforced();
    }
    let stage = Stage::new("");
    let place = stage.path("jitgate.toml");
    let home = stage.settings.local.runner_home.display().to_string();
    file(
        &place,
        &format!("[local]\nrunner_home = '{home}'\nuser = 'root'\nnetwork = 'host'\npids = 40\n"),
        0o600,
    );
    let script = format!(
        "mount --types tmpfs --options ro none /sys/fs/cgroup && exec {} --config {} config check",
        stage.settings.program.display(),
        place.display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .current_dir(stage.path(""));
    let output = command.output().expect("unshare");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("local.pids") && told.contains("cannot be enforced"),
        "{told} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An account that may make no group is told so, and no job runs without the limit that was asked for.
fn cannot_be_enforced() {
    let mut stage = Stage::new("");
    stage.settings.local.pids = Some(40);
    let found = problems(&stage.settings);
    let told = found.iter().any(|problem| problem.what.contains("cannot be enforced"));
    assert!(told || found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_job_that_fills_the_disk_is_ended_whether_its_files_have_names_or_not() {
    for fill in [
        "head -c 40000000 /dev/zero >/tmp/large",
        "head -c 40000000 /dev/zero >\"$HOME/large\"; ln \"$HOME/large\" \"$HOME/again\"",
        "exec 7>/tmp/large; rm /tmp/large; head -c 40000000 /dev/zero >&7",
    ] {
        let mut stage = Stage::new(&format!("{fill}; touch \"$HOME/filled\"{STAYS}"));
        stage.settings.local.disk_mib = Some(30);
        let (host, slot) = stage.claimed().await;
        let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
        assert_eq!(seen.state, SlotState::Ended(Ending::DiskFull), "{fill}");
        assert_eq!(processes(&slot), [] as [String; 0]);
        host.destroy(&slot).await.expect("destroyed");
    }
    // One that stays within its limit is left alone.
    let mut stage = Stage::new("head -c 20000000 /dev/zero >/tmp/small; sleep 2.5; touch \"$HOME/done\"\n");
    stage.settings.local.disk_mib = Some(30);
    let (host, slot) = stage.claimed().await;
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert_eq!(seen.state, SlotState::Ended(Ending::Exited));
    host.destroy(&slot).await.expect("destroyed");
}
