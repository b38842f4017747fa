//! Makes a guest ready for a job: its random numbers, its clock and its services.
//!
//! Guests that are resumed from one saved state have the same random numbers. Writing into `/dev/urandom` alone does not
//! change that soon: the kernel takes new bytes into account when its generator is seeded again.

use super::place::Place;
use crate::adapters::hosts::slots::SYSTEM_PATH;
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Credits the bytes on stdin to the kernel's generator (`RNDADDENTROPY`) and seeds it again (`RNDRESEEDCRNG`). The standard
/// library of Rust has no such call, and every Debian has this program.
const RESEED: &str = "binmode STDIN; local $/; my $new = <STDIN>;
open(my $random, '>', '/dev/urandom') or die;
ioctl($random, 0x40085203, pack('ii', 8 * length $new, length $new) . $new) or die;
ioctl($random, 0x5207, 0) or die;";
const NANOSECONDS: i64 = 1_000_000_000;

/// Makes the guest ready.
pub(super) fn prepare(place: &Place, entropy: &[u8], unix_ns: i64) -> io::Result<()> {
    if place.is_machine() {
        reseed(entropy)?;
        let time = Timespec {
            tv_sec: unix_ns.div_euclid(NANOSECONDS),
            tv_nsec: unix_ns.rem_euclid(NANOSECONDS),
        };
        clock_settime(ClockId::Realtime, time)?;
    } else {
        fs::write(place.at("/dev/urandom"), entropy)?;
    }
    if place.services().exists() {
        // A service that does not start is missed by the jobs that need it, and by no others.
        let started = command("timeout").arg("45").arg("sh").arg(place.services()).status();
        started.map(|_| ()).unwrap_or_default();
    }
    Ok(())
}

fn reseed(entropy: &[u8]) -> io::Result<()> {
    let mut perl = command("perl");
    // Its own random numbers would have to wait for the generator.
    perl.args(["-e", RESEED])
        .env("PERL_HASH_SEED", "0")
        .stdin(Stdio::piped());
    let mut perl = perl.spawn()?;
    if let Some(mut stdin) = perl.stdin.take() {
        stdin.write_all(entropy)?;
    }
    if perl.wait()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("cannot seed the random numbers of the kernel"))
    }
}

/// Returns a command with the environment of a system program, without input and output.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
