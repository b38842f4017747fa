//! A machine for a test: hosts with virtual machines whose runner program runs the script in its JIT configuration.

#[path = "../sandbox/waiting.rs"]
pub(crate) mod waiting;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::hosts::qemu::{QemuHost, Settings};
use jitgate::config::{Accel, Machine, Qemu, VmNetwork};
use jitgate::domain::slot::{SlotId, SlotState};
use jitgate::ports::RunnerHost;
use secrecy::SecretString;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
pub(crate) use waiting::{eventually, runner, until};

/// Nothing here takes longer unless it is broken or the machine is crowded: an emulated boot takes seconds.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(180);
/// Asks at the job gate as the hook of a job does. It goes on only if the job may begin.
pub(crate) const HOOK: &str = r#"
export GITHUB_REPOSITORY=octo-org/chem-model GITHUB_RUN_ID=42 GITHUB_RUN_ATTEMPT=2
bash "$ACTIONS_RUNNER_HOOK_JOB_STARTED" || exit 1
echo a step runs
"#;
/// A machine with a state directory.
pub(crate) struct Stage {
    place: TempDir,
    pub(crate) settings: Settings,
}

impl Stage {
    /// A machine whose slots start from this image.
    pub(crate) fn new(image: &Path) -> Self {
        for (program, package) in [
            ("qemu-system-x86_64", "qemu-system-x86"),
            ("bwrap", "bubblewrap"),
            ("mke2fs", "e2fsprogs"),
            ("slirp4netns", "slirp4netns"),
            ("nft", "nftables"),
        ] {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {program}")])
                .output();
            assert!(
                found.is_ok_and(|found| found.status.success()),
                "{program} is missing: install the Debian package `{package}`"
            );
        }
        let place = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let settings = Settings {
            state_dir: place.path().join("state"),
            instance: "testtest".to_owned(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_jitgate")),
            qemu: Qemu {
                images: None,
                image: Some(image.to_owned()),
                kernel: None,
                initrd: None,
                machine: Machine::Microvm,
                accel: Accel::Tcg,
                user: "nobody".to_owned(),
                memory_mib: number(320),
                cpus: number(1),
                disk_gib: number(1),
                sizes: Vec::new(),
                network: VmNetwork::None,
                network_allow: Vec::new(),
                network_deny: Vec::new(),
                keep_failed: Duration::ZERO,
            },
            boot_deadline: TIMEOUT,
            gate_deadline: TIMEOUT,
            job_deadline: TIMEOUT,
        };
        Self { place, settings }
    }

    /// A path on this machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn host(&self) -> QemuHost {
        QemuHost::open(self.settings.clone(), Arc::new(SystemClock)).expect("a host")
    }

    /// The folder of a slot.
    pub(crate) fn folder(&self, slot: &SlotId) -> PathBuf {
        self.settings.state_dir.join("qemu/testtest/slots").join(&slot.0)
    }

    /// The output of the runner in a slot.
    pub(crate) fn output(&self, slot: &SlotId) -> String {
        let path = self.settings.state_dir.join("qemu/testtest/output");
        fs::read_to_string(path.join(format!("{}.log", runner(slot)))).unwrap_or_default()
    }
}

/// Boots a slot and waits until it is ready.
pub(crate) async fn booted(host: &QemuHost) -> SlotId {
    let slot = host.boot(None).await.expect("booting");
    until(host, &slot, |slot| slot.state == SlotState::Ready).await;
    slot
}

/// Claims a slot for a runner that runs this script.
pub(crate) async fn claim(host: &QemuHost, slot: &SlotId, script: &str) {
    let config = SecretString::from(STANDARD.encode(script));
    host.claim(slot, &runner(slot), config).await.expect("claimed");
}

/// Command lines of the processes that belong to a slot: they carry its mark, or its name is on their command line.
pub(crate) fn processes(slot: &SlotId) -> Vec<String> {
    processes_of(&slot.0)
}

/// Command lines of the processes of a slot or of another machine with this name.
pub(crate) fn processes_of(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let text = |id: &str, file: &str| {
        let bytes = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|id| text(id, "environ").contains(name) || text(id, "cmdline").contains(name))
        .map(|id| format!("{id} {}", text(&id, "cmdline")))
        .collect()
}
