//! A container with systemd as PID 1, and commands in it.

use crate::tree::{as_root, place, run, tree};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The port of the simulated GitHub, in the network of the container alone.
pub(crate) const GITHUB: &str = "127.0.0.1:8099";
/// Seconds that a wait may take.
const TIMEOUT_S: &str = "60";

/// The program of the units. It stands in for the parts of jitgate that need a real host of runners, and records its calls.
const PROGRAM: &str = r#"#!/bin/sh
case "$*" in
*"pool supervise"*)
    echo "$*" >>/var/lib/jitgate/calls
    exec sleep infinity
    ;;
*"pool reconcile"*) echo "$(id -un) $*" >>/var/lib/jitgate/calls ;;
*"runner recover"*) echo "$(id -un) $*" >>/opt/actions-runner/calls ;;
*) exec /usr/local/bin/jitgate "$@" ;;
esac
"#;

const CONFIGURATION: &str = r#"
[server]
admin_listen = "unix:/run/jitgate/admin.sock"
[github]
api_url = "http://127.0.0.1:8099"
[runners]
host = "synthetic"
[[repositories]]
full_name = "octo-org/chem-model"
"#;

/// A running container.
pub(crate) struct Machine {
    root: PathBuf,
    nspawn: Child,
    /// PID 1 of the container.
    leader: String,
}

/// The end of a command.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    /// Starts a fresh container, with jitgate and its configuration.
    pub(crate) fn start() -> Self {
        let root = place().join(format!("machine-{}", std::process::id()));
        run(as_root("rm").arg("-rf").arg(&root), "coreutils");
        run(
            as_root("cp").args(["-a", "--reflink=auto"]).arg(tree()).arg(&root),
            "coreutils",
        );
        let program = format!("--bind-ro={}:/usr/local/bin/jitgate", env!("CARGO_BIN_EXE_jitgate"));
        let output = fs::File::create(root.with_extension("log")).expect("a log");
        let nspawn = as_root("systemd-nspawn")
            .args(["--quiet", "--register=no", "--keep-unit", "--private-network"])
            .args(["--kill-signal=SIGKILL", &program, "--boot", "--directory"])
            .arg(&root)
            .arg("systemd.mask=console-getty.service")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log"))
            .stderr(output)
            .spawn()
            .expect("systemd-nspawn is missing: install the Debian package `systemd-container`");
        let mut machine = Self {
            root,
            nspawn,
            leader: String::new(),
        };
        machine.leader = machine.find_leader();
        machine
            .sh("test -S /run/dbus/system_bus_socket || exit 1; systemctl is-system-running --wait >/dev/null; true");
        machine.write("/usr/local/bin/program", PROGRAM, "0755");
        machine.write("/etc/jitgate/jitgate.toml", CONFIGURATION, "0644");
        machine.write("/etc/jitgate/app.pem", &private_key(), "0600");
        machine
    }

    /// Waits until systemd runs as the child of nspawn, and returns its process.
    fn find_leader(&self) -> String {
        let script = r#"
            until for child in $(pgrep -P "$1" || pgrep -P "$(pgrep -P "$1")"); do
                test "$(cat "/proc/$child/comm")" = systemd && nsenter -t "$child" -a systemctl is-system-running --wait 2>/dev/null |
                    grep -q -e running -e degraded && echo "$child" && exit
            done; false; do sleep 0.1; done"#;
        let mut find = as_root("timeout");
        find.args([TIMEOUT_S, "sh", "-c", script, "sh", &self.nspawn.id().to_string()]);
        let output = find
            .output()
            .expect("pgrep is missing: install the Debian package `procps`");
        let leader = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(!leader.is_empty(), "systemd does not start: {}", self.log());
        leader
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.with_extension("log")).unwrap_or_default()
    }

    /// Runs a command in the container.
    pub(crate) fn answer(&self, words: &[&str]) -> Answer {
        let mut command: Command = as_root("nsenter");
        command
            .args(["-t", &self.leader, "-a"])
            .args(words)
            .stdin(Stdio::null());
        let output = command
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .output();
        let output = output.expect("nsenter is missing: install the Debian package `util-linux`");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }

    /// Runs a script in the container, which must succeed. Returns its output.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let Answer { code, out, err } = self.answer(&["sh", "-c", script]);
        assert_eq!(code, 0, "{script}: {out} {err}\n{}", self.journal());
        out
    }

    /// Builds the world of the simulated GitHub in the container.
    pub(crate) fn build_world(&self, world: &str) {
        let url = format!("http://{GITHUB}/_simulator/apply");
        let mut post = as_root("nsenter");
        post.args([
            "-t",
            &self.leader,
            "-n",
            "curl",
            "--fail",
            "--silent",
            "--noproxy",
            "*",
            "--data",
            world,
            &url,
        ]);
        run(&mut post, "curl");
    }

    /// Waits until a script succeeds.
    #[track_caller]
    pub(crate) fn until(&self, script: &str) {
        let looking = format!("until {script}; do sleep 0.1; done");
        let waited = self.answer(&["timeout", TIMEOUT_S, "bash", "-c", &looking]);
        assert_eq!(waited.code, 0, "in vain: {script}: {}\n{}", waited.err, self.journal());
    }

    fn journal(&self) -> String {
        self.answer(&["journalctl", "-b", "-n", "60", "-o", "cat", "--no-pager"])
            .out
    }

    /// Writes a file in the container.
    pub(crate) fn write(&self, path: &str, text: &str, mode: &str) {
        let draft = self.root.with_extension("draft");
        fs::write(&draft, text).expect("a file");
        let target = self.root.join(path.trim_start_matches('/'));
        let mut install = as_root("install");
        install
            .args(["-D", "-o", "root", "-g", "root", "-m", mode])
            .arg(draft)
            .arg(target);
        run(&mut install, "coreutils");
    }

    /// Runs `jitgate setup` with the program of these tests.
    pub(crate) fn setup(&self, command: &str) -> Answer {
        let command = format!("jitgate --json setup {command} --program /usr/local/bin/program");
        self.answer(&["sh", "-c", &command])
    }

    /// The same, and it must succeed. Returns the actions and their subjects.
    #[track_caller]
    pub(crate) fn steps(&self, command: &str) -> Vec<(String, String)> {
        let answer = self.setup(command);
        assert_eq!(answer.code, 0, "{command}: {}\n{}", answer.err, self.journal());
        let json: Value = serde_json::from_str(&answer.out).expect("JSON");
        let steps = json["steps"].as_array().expect("steps").iter();
        let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        steps
            .map(|step| (word(step, "action"), word(step, "subject")))
            .collect()
    }

    /// Returns a property of a unit.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.sh(&format!("systemctl show --value -p {name} {unit}"))
    }

    /// Returns whether a unit is active and enabled.
    #[track_caller]
    pub(crate) fn state(&self, unit: &str) -> (String, String) {
        (self.property(unit, "ActiveState"), self.property(unit, "UnitFileState"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let nspawn = self.nspawn.id().to_string();
        // A failure here would hide that of the test.
        as_root("kill").args(["-TERM", &nspawn]).status().ok();
        self.nspawn.wait().ok();
        as_root("rm").arg("-rf").arg(&self.root).status().ok();
        for file in ["log", "draft"] {
            fs::remove_file(self.root.with_extension(file)).ok();
        }
        // nspawn leaves these two groups behind.
        let script =
            "find \"$1\" -depth -type d -path '*/payload*' -o -depth -type d -path '*/supervisor*' | xargs -r rmdir";
        let tidy = as_root("sh")
            .args(["-c", script, "sh", "/sys/fs/cgroup"])
            .stderr(Stdio::null())
            .status();
        tidy.ok();
    }
}

fn private_key() -> String {
    let output = Command::new("openssl").args(["genrsa", "2048"]).output();
    let output = output.expect("openssl is missing: install the Debian package `openssl`");
    String::from_utf8(output.stdout).expect("text")
}
