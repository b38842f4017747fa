//! QEMU without jitgate: the machine that an image must boot on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// More than a boot takes on a busy machine, in seconds.
const LIMIT: &str = "200";

/// Boots an image until the guest switches itself off, and returns the text of its console.
pub(crate) fn console(image: &Path, scratch: &Path) -> String {
    let file = |name: &str| image.join(name).display().to_string();
    let kernel = if image.join("vmlinux").exists() {
        "vmlinux"
    } else {
        "vmlinuz"
    };
    let append = format!(
        "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests tsc_early_khz={}",
        tsc_khz()
    );
    let root = format!("if=none,id=root,format=raw,readonly=on,file={}", file("root.sqfs"));
    let disk = format!("if=none,id=scratch,format=raw,file={}", scratch.display());
    let mut qemu = Command::new("timeout");
    qemu.args([
        "--kill-after=5",
        LIMIT,
        "qemu-system-x86_64",
        "-M",
        "microvm",
        "-accel",
        "tcg",
        "-cpu",
        "max",
    ]);
    qemu.args([
        "-m",
        "512",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "stdio",
    ]);
    qemu.args([
        "-kernel",
        &file(kernel),
        "-initrd",
        &file("initrd.img"),
        "-append",
        &append,
    ]);
    qemu.args(["-drive", &root, "-device", "virtio-blk-device,drive=root,serial=root"]);
    qemu.args([
        "-drive",
        &disk,
        "-device",
        "virtio-blk-device,drive=scratch,serial=scratch",
    ]);
    qemu.args(["-netdev", "user,id=n,ipv6=off", "-device", "virtio-net-device,netdev=n"]);
    qemu.args([
        "-object",
        "rng-random,id=rng,filename=/dev/urandom",
        "-device",
        "virtio-rng-device,rng=rng",
    ]);
    qemu.args([
        "-device",
        "virtio-serial-device",
        "-chardev",
        "null,id=c",
        "-device",
        "virtserialport,chardev=c,name=jitgate",
    ]);
    let output = qemu.stdin(Stdio::null()).output().expect("timeout");
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}{console}\nthe Debian package qemu-system-x86 is necessary; ./tests/run packages installs it",
        String::from_utf8_lossy(&output.stderr)
    );
    console
}

/// Makes an empty scratch disk.
pub(crate) fn scratch(path: &Path) {
    let mut make = Command::new("/sbin/mke2fs");
    make.args(["-q", "-t", "ext4", "-F", "-O", "^has_journal", "-m", "0"])
        .arg(path)
        .arg("4G");
    assert!(make.status().expect("the Debian package e2fsprogs").success());
}

/// Returns the frequency of the processor's clock, without which a microvm can hang at its start.
fn tsc_khz() -> u64 {
    let text = fs::read_to_string("/proc/cpuinfo").expect("/proc/cpuinfo");
    let mhz = text
        .lines()
        .find_map(|line| line.strip_prefix("cpu MHz")?.split_once(": "));
    let digits = mhz.expect("a frequency").1.replace('.', "");
    digits.parse().expect("a number")
}
