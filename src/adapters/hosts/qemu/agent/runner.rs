//! Starts the runner program, passes on its output, and reports its end. It also waits for every orphan of the guest.

use super::event::Event;
use super::pieces::Pieces;
use super::place::{ACCOUNT, Place};
use crate::adapters::hosts::slots::SYSTEM_PATH;
use rustix::io::Errno;
use rustix::process::{WaitOptions, geteuid, wait};
use std::fs;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::SyncSender;

/// Bytes of output that are passed on. The keeper keeps 1 MiB of them.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024 + 64 * 1024;
/// The exit code that stands for a signal is this and its number, as in a shell.
const SIGNAL_CODE: i32 = 128;
const CHUNK_BYTES: usize = 4096;

/// Starts the runner program. Its output and its end become `events`.
pub(super) fn start(place: &Place, jit_config: &str, events: &SyncSender<Event>) -> io::Result<()> {
    let (output, writer) = io::pipe()?;
    let runner = command(place, jit_config)?
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let first = runner.id();
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let reports = events.clone();
    thread("output").spawn(move || pass_on(output, &reports))?;
    let reports = events.clone();
    thread("reaper").spawn(move || reap(first, &reports))?;
    Ok(())
}

fn command(place: &Place, jit_config: &str) -> io::Result<Command> {
    let account = Account::read(place)?;
    let program = place.runner().join("run.sh");
    let mut command = if account.uid == geteuid().as_raw() {
        Command::new(program)
    } else {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", account.uid))
            .arg(format!("--regid={}", account.gid))
            .args(["--init-groups", "--no-new-privs", "--inh-caps=-all"])
            .args(["--ambient-caps=-all", "--bounding-set=-all", "--"])
            .arg(program);
        command
    };
    command
        .env_clear()
        .env("ACTIONS_RUNNER_HOOK_JOB_STARTED", place.hook())
        .env("ACTIONS_RUNNER_INPUT_JITCONFIG", jit_config)
        .env("HOME", place.at(&account.home))
        .env("LANG", "C.UTF-8")
        .env("LOGNAME", ACCOUNT)
        .env("PATH", SYSTEM_PATH)
        .env("USER", ACCOUNT)
        .current_dir(place.runner());
    Ok(command)
}

/// The account of the runner program.
struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

impl Account {
    fn read(place: &Place) -> io::Result<Self> {
        let accounts = fs::read_to_string(place.at("/etc/passwd"))?;
        let account = accounts.lines().find_map(Self::parse);
        account.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no account for the runner program"))
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [ACCOUNT, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        Some(Self {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
        })
    }
}

/// Reads everything, so that the runner program is never blocked, and passes the beginning on.
fn pass_on(mut output: io::PipeReader, events: &SyncSender<Event>) {
    let mut pieces = Pieces::default();
    let mut left = MAX_OUTPUT_BYTES;
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        match output.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                let taken = read.min(left);
                left -= taken;
                for text in pieces.of(&chunk[..taken]) {
                    if events.send(Event::Printed(text)).is_err() {
                        return;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    events.send(Event::Silent).unwrap_or_default();
}

/// Waits for each child that ends, and for each orphan that the first process of a machine inherits.
fn reap(first: u32, events: &SyncSender<Event>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(first) => {
                let signal = status.terminating_signal().map(|signal| SIGNAL_CODE + signal);
                let code = status.exit_status().or(signal).unwrap_or_default();
                if events.send(Event::Ended { code }).is_err() {
                    return;
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            // No child is left.
            Err(_) => return,
        }
    }
}
