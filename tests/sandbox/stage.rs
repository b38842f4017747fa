//! A machine for a test: a runner program that is a script of the test's, a state directory, hosts on them.

#[path = "waiting.rs"]
mod waiting;

use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::hosts::local::{LocalHost, Settings, inspect};
use jitgate::config::{Local, Network, Sandbox};
use jitgate::domain::finding::Finding;
use jitgate::domain::slot::{SlotId, SlotState};
use jitgate::ports::RunnerHost;
use secrecy::SecretString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
pub(crate) use waiting::{eventually, listed, runner, until};

/// Nothing here takes longer unless it is broken.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(40);
/// Calls the hook as actions/runner does, and goes on only if it may.
pub(crate) const HOOK: &str = r#"
export GITHUB_REPOSITORY=octo-org/chem-model GITHUB_RUN_ID=42 GITHUB_RUN_ATTEMPT=2
bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED" >"$HOME/hook.log" 2>&1 || { cat "$HOME/hook.log"; exit 1; }
touch "$HOME/step"
"#;
/// Stays until it is killed.
pub(crate) const STAYS: &str = "\nexec sleep 3600\n";

/// A machine.
pub(crate) struct Stage {
    place: TempDir,
    pub(crate) settings: Settings,
}

impl Stage {
    /// A machine whose runner program is this script.
    pub(crate) fn new(script: &str) -> Self {
        for (program, package) in [
            ("bwrap", "bubblewrap"),
            ("slirp4netns", "slirp4netns"),
            ("nft", "nftables"),
        ] {
            assert!(
                Command::new(program).arg("--version").output().is_ok(),
                "{program} is missing: install the Debian package `{package}`"
            );
        }
        // Not below /tmp, which every job has of its own.
        let place = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let home = place.path().join("actions-runner");
        fs::create_dir_all(home.join("bin")).expect("a folder");
        fs::create_dir_all(home.join("externals/node/bin")).expect("a folder");
        file(&home.join("run.sh"), &format!("#!/bin/bash\n{script}"), 0o755);
        file(&home.join("bin/Runner.Listener"), "the listener", 0o755);
        file(&home.join("externals/node/bin/node"), "node", 0o755);
        let settings = Settings {
            state_dir: place.path().join("state"),
            instance: "testtest".to_owned(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_jitgate")),
            local: Local {
                runner_home: home,
                sandbox: Sandbox::Bwrap,
                user: is_root().then(|| "root".to_owned()),
                expose: Vec::new(),
                network: Network::Isolated,
                network_allow: Vec::new(),
                network_deny: Vec::new(),
                memory_mib: None,
                pids: None,
                cpus: None,
                disk_mib: None,
                public_repositories: false,
            },
            gate_deadline: TIMEOUT,
            job_deadline: 3 * TIMEOUT,
            hidden: Vec::new(),
        };
        Self { place, settings }
    }

    /// A path on this machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn host(&self) -> LocalHost {
        LocalHost::open(self.settings.clone(), Arc::new(SystemClock)).expect("a host")
    }

    /// A host with a slot that is ready.
    pub(crate) async fn booted(&self) -> (LocalHost, SlotId) {
        let host = self.host();
        let slot = host.boot(None).await.expect("booted");
        until(&host, &slot, |slot| slot.state == SlotState::Ready).await;
        (host, slot)
    }

    /// A host with a slot that runs the script.
    pub(crate) async fn claimed(&self) -> (LocalHost, SlotId) {
        let (host, slot) = self.booted().await;
        claim(&host, &slot).await;
        (host, slot)
    }

    /// A host with a slot whose job waits at its gate.
    pub(crate) async fn at_gate(&self) -> (LocalHost, SlotId) {
        let (host, slot) = self.claimed().await;
        until(&host, &slot, |slot| matches!(slot.state, SlotState::AtGate(_))).await;
        (host, slot)
    }

    /// The folder of a slot.
    pub(crate) fn folder(&self, slot: &SlotId) -> PathBuf {
        self.settings.state_dir.join("local/testtest/slots").join(&slot.0)
    }

    /// Waits for a file in the job's home and returns its text.
    pub(crate) async fn left(&self, slot: &SlotId, name: &str) -> String {
        let path = self.folder(slot).join("environment/home").join(name);
        eventually(&format!("{name} in the job's home"), || fs::read_to_string(&path).ok()).await
    }

    /// Returns the output of the runner program.
    pub(crate) fn output(&self, runner: &str) -> String {
        let path = self
            .settings
            .state_dir
            .join("local/testtest/output")
            .join(format!("{runner}.log"));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Connects to a slot's gate as its guest could, if it is there.
    pub(crate) fn try_guest(&self, slot: &SlotId) -> io::Result<UnixStream> {
        let folder = fs::File::open(self.folder(slot).join("gate"))?;
        // The whole path can be longer than a socket's may be.
        UnixStream::connect(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()))
    }

    /// Connects to a slot's gate as its guest could.
    pub(crate) fn guest(&self, slot: &SlotId) -> UnixStream {
        let stream = self.try_guest(slot).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a bound");
        stream
    }
}

/// Findings that keep this machine from running jobs.
pub(crate) fn problems(settings: &Settings) -> Vec<Finding> {
    inspect(settings).into_iter().filter(Finding::is_problem).collect()
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").expect("ourselves").uid() == 0
}

pub(crate) fn file(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A slot's JIT configuration, which nothing but the runner program may ever see.
pub(crate) fn jit(slot: &SlotId) -> String {
    format!("eyJqaXQiOiJodW50ZXIyLWh1bnRlcjItaHVudGVyMiJ9{}", slot.0)
}

/// Returns the output of a program for this input.
pub(crate) fn told(program: &str, args: &[&str], text: &str) -> String {
    let mut command = Command::new(program);
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(program);
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("written");
    String::from_utf8(child.wait_with_output().expect(program).stdout).expect("text")
}

pub(crate) async fn claim(host: &LocalHost, slot: &SlotId) {
    let claimed = host.claim(slot, &runner(slot), SecretString::from(jit(slot))).await;
    claimed.expect("claimed");
}

/// Ids of the processes that belong to a slot.
pub(crate) fn processes(slot: &SlotId) -> Vec<String> {
    let mark = format!("JITGATE_SLOT={}", slot.0).into_bytes();
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    })
    .collect()
}

/// Reads until the other side closes the connection.
pub(crate) fn answer(mut guest: &UnixStream) -> String {
    let mut text = Vec::new();
    // The connection of a refused client can be reset.
    guest.read_to_end(&mut text).unwrap_or_default();
    String::from_utf8(text).expect("text")
}

pub(crate) fn say(mut guest: &UnixStream, text: &[u8]) {
    guest.write_all(text).unwrap_or_default();
}
