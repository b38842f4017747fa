//! Starts the runner program, passes on its output, and reports its end. It also waits for every orphan of the guest.

use super::event::Event;
use super::pieces::Pieces;
use super::place::{ACCOUNT, Place};
use crate::adapters::hosts::slots::SYSTEM_PATH;
use rustix::io::Errno;
use rustix::process::{WaitOptions, geteuid, wait};
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::SyncSender;

/// Bytes of output that are passed on. The keeper keeps 1 MiB of them.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024 + 64 * 1024;
/// The exit code that stands for a signal is this and its number, as in a shell.
const SIGNAL_CODE: i32 = 128;
const CHUNK_BYTES: usize = 4096;
/// Reads the beginning of the runner program, so that it is in memory, and waits for the JIT configuration. Without one,
/// nothing starts.
const LAUNCHER: &str = "read -r line 2>/dev/null <./run.sh
echo
IFS= read -r ACTIONS_RUNNER_INPUT_JITCONFIG || exit 1
export ACTIONS_RUNNER_INPUT_JITCONFIG
exec ./run.sh </dev/null";
/// The report of the launcher.
const UP: &[u8; 1] = b"\n";

/// A shell with the account of the runner program, which becomes the runner program once it has its JIT configuration. An
/// emulated processor takes long to start a first program after a resume, so that is done before a claim.
pub(super) struct Launcher {
    shell: Child,
    stdin: ChildStdin,
    output: io::PipeReader,
}

impl Launcher {
    /// Starts the shell, and returns when it waits for the configuration.
    pub(super) fn start(place: &Place) -> io::Result<Self> {
        let mut command = command(place)?;
        let (mut output, writer) = io::pipe()?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut shell = command.spawn()?;
        // It holds the writing end too.
        drop(command);
        let stdin = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut said = [0; UP.len()];
        output.read_exact(&mut said)?;
        if &said != UP {
            return Err(io::Error::other("the shell of the runner program does not wait"));
        }
        Ok(Self { shell, stdin, output })
    }

    /// Makes the shell the runner program. Its output and its end become `events`.
    pub(super) fn launch(mut self, jit_config: &str, events: &SyncSender<Event>) -> io::Result<()> {
        self.stdin.write_all(format!("{jit_config}\n").as_bytes())?;
        let first = self.shell.id();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (output, reports) = (self.output, events.clone());
        thread("output").spawn(move || pass_on(output, &reports))?;
        let reports = events.clone();
        thread("reaper").spawn(move || reap(first, &reports))?;
        Ok(())
    }

    /// Ends the shell, which gets no configuration.
    pub(super) fn discard(mut self) -> io::Result<()> {
        drop(self.stdin);
        self.shell.wait().map(drop)
    }
}

/// Returns the shell with the account and the environment of the runner program.
fn command(place: &Place) -> io::Result<Command> {
    let account = Account::read(place)?;
    let mut command = if account.uid == geteuid().as_raw() {
        Command::new("bash")
    } else {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", account.uid))
            .arg(format!("--regid={}", account.gid))
            .args(["--init-groups", "--no-new-privs", "--inh-caps=-all"])
            .args(["--ambient-caps=-all", "--bounding-set=-all", "--"])
            .arg("bash");
        command
    };
    command
        .args(["-c", LAUNCHER])
        .env_clear()
        .env("ACTIONS_RUNNER_HOOK_JOB_STARTED", place.hook())
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
