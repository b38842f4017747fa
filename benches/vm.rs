//! Compares a virtual machine of jitgate with bare QEMU: the same kernel, initial RAM disk, image and devices.
//!
//! `cargo bench --bench vm` builds the image of the tests if it is missing, and prints medians of some rounds: bare QEMU, a slot
//! that boots, a slot that resumes, the claim of a ready slot until its runner program runs, and the memory of an idle slot.
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has nothing to say")]
#![expect(clippy::print_stdout, reason = "what it is for")]

#[path = "../tests/vm/built.rs"]
mod built;
#[path = "../tests/vm/machine.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod machine;

use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::hosts::qemu::{Channel, QemuHost};
use jitgate::domain::slot::SlotId;
use jitgate::ports::{Clock, RunnerHost};
use machine::{Stage, booted, claim, eventually, processes};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

const ROUNDS: usize = 7;

fn main() {
    let rounds = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(compare(rounds));
}

async fn compare(rounds: usize) {
    let image = built::image();
    let stage = Stage::new(&image);
    let host = stage.host();
    // The first slot makes the template. It stays idle, so that the memory of the template counts as shared.
    let idle = booted(&host).await;
    let disk = stage.path("state/qemu/testtest/template-320-1-1.img");
    let hidden = disk.with_extension("hidden");
    let empty = stage.path("state/qemu/testtest/scratch-1.img");
    let mut times = [const { Vec::new() }; 5];
    let mut memory = Vec::new();
    for _ in 0..rounds {
        let scratch = stage.path("bare.img");
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([&empty, &scratch])
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "cp");
        let (hello, prepared) = bare(&image, &scratch).await;
        times[0].push(hello);
        times[1].push(prepared);
        // Without the disk of the template no machine resumes.
        fs::rename(&disk, &hidden).expect("hidden");
        let (cold, slot) = timed(&host).await;
        times[2].push(cold);
        host.destroy(&slot).await.expect("destroyed");
        fs::rename(&hidden, &disk).expect("shown");
        let (resumed, slot) = timed(&host).await;
        times[3].push(resumed);
        memory.push(dirty(&slot));
        let began = Instant::now();
        claim(&host, &slot, "sleep 1000").await;
        eventually("the runner program runs", || {
            stage.output(&slot).contains("the runner program starts").then_some(())
        })
        .await;
        times[4].push(began.elapsed());
        host.destroy(&slot).await.expect("destroyed");
    }
    let [hello, prepared, cold, resumed, claimed] = times.map(median);
    let row =
        |what: &str, time: Duration, ratio: f64| println!("{what:<52} {:>8.3} s {ratio:>8.3}", time.as_secs_f64());
    let of = |time: Duration, base: Duration| time.as_secs_f64() / base.as_secs_f64();
    println!("median of {rounds} rounds; QEMU {}", version());
    row("bare QEMU to the hello of its agent", hello, 1.0);
    row("bare QEMU to a prepared agent", prepared, of(prepared, hello));
    row(
        "slot that boots, to ready (ratio to bare, prepared)",
        cold,
        of(cold, prepared),
    );
    row(
        "slot that resumes, to ready (ratio to one that boots)",
        resumed,
        of(resumed, cold),
    );
    row(
        "claim to a running runner program (ratio as above)",
        claimed,
        of(claimed, cold),
    );
    memory.sort_unstable();
    let (ours, all) = memory[memory.len() / 2];
    println!("private dirty memory of an idle slot: {ours} KiB of jitgate and bubblewrap, {all} KiB with QEMU");
    println!("template, shared by all slots: {} KiB", template());
    host.destroy(&idle).await.expect("destroyed");
}

/// Returns the size of the template's memory in KiB, which this process holds.
fn template() -> u64 {
    let files = fs::read_dir("/proc/self/fd").expect("files").flatten();
    let memory = files.filter(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        target.to_string_lossy().contains("template-memory")
    });
    let blocks = memory
        .filter_map(|file| fs::metadata(file.path()).ok())
        .map(|about| about.blocks());
    blocks.max().expect("a template") / 2
}

async fn timed(host: &QemuHost) -> (Duration, SlotId) {
    let began = Instant::now();
    let slot = booted(host).await;
    (began.elapsed(), slot)
}

/// Boots QEMU without anything of jitgate around it. Returns the times to the hello and to the end of the preparation.
async fn bare(image: &Path, scratch: &Path) -> (Duration, Duration) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("a socket");
    fcntl_setfd(&theirs, FdFlags::empty()).expect("inherited");
    let file = |name: &str| image.join(name).display().to_string();
    let processor = fs::read_to_string("/proc/cpuinfo").expect("processors");
    let line = processor
        .lines()
        .find(|line| line.starts_with("cpu MHz"))
        .expect("a frequency");
    let khz: f64 = line
        .rsplit(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    let options = format!(
        "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests tsc_early_khz={:.0}",
        khz * 1000.0
    );
    let began = Instant::now();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args([
            "-M",
            "microvm",
            "-accel",
            "tcg,tb-size=256",
            "-cpu",
            "max",
            "-m",
            "320M",
            "-smp",
            "1",
        ])
        .args([
            "-kernel",
            &file("vmlinux"),
            "-initrd",
            &file("initrd.img"),
            "-append",
            &options,
        ])
        .args(["-serial", "null"])
        .args([
            "-drive",
            &format!("id=root,file={},format=raw,if=none,readonly=on", file("root.sqfs")),
        ])
        .args(["-device", "virtio-blk-device,drive=root,serial=root"])
        .args([
            "-drive",
            &format!("id=scratch,file={},format=raw,if=none,cache=unsafe", scratch.display()),
        ])
        .args(["-device", "virtio-blk-device,drive=scratch,serial=scratch"])
        .args(["-object", "rng-random,id=random,filename=/dev/urandom"])
        .args([
            "-device",
            "virtio-rng-device,rng=random",
            "-device",
            "virtio-serial-device",
        ])
        .args(["-chardev", &format!("socket,id=channel,fd={}", theirs.as_raw_fd())])
        .args(["-device", "virtserialport,chardev=channel,name=jitgate"])
        .stdin(Stdio::null())
        .spawn()
        .expect("QEMU");
    drop(theirs);
    let stream = tokio::net::UnixStream::from_std(ours).expect("a socket");
    let mut channel = Channel::open(stream).expect("a channel");
    channel.hello().await.expect("a hello");
    let hello = began.elapsed();
    channel.prepare(SystemClock.now()).await.expect("prepared");
    let prepared = began.elapsed();
    qemu.kill().expect("killed");
    qemu.wait().expect("ended");
    (hello, prepared)
}

/// Returns the private dirty memory of a slot in KiB: of all processes but QEMU, and of all.
fn dirty(slot: &SlotId) -> (u64, u64) {
    let (mut ours, mut all) = (0, 0);
    for process in processes(slot) {
        let id = process.split(' ').next().expect("an id");
        let sums = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = sums.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
        let size = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap_or(0);
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        ours += if name.starts_with("qemu") { 0 } else { size };
        all += size;
    }
    (ours, all)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn version() -> String {
    let output = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .expect("QEMU");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(3).unwrap_or_default().to_owned()
}
