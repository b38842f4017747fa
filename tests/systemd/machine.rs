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

/// A token that the simulated GitHub accepts from a person.
pub(crate) const PERSONAL_TOKEN: &str = "sim-operator";
/// The flags of an App. The simulated GitHub derives the id of an installation from the name of its owner.
pub(crate) const APP: &str = "--app-id 1 --app-installation-id 27883620 --app-private-key-file /etc/jitgate/app.pem";

/// The command that shows the pool of the units.
const POOL_STATUS: &str = "JITGATE__SERVER__STATE_DIR=/var/lib/jitgate \
    JITGATE__STORE__URL=sqlite:/var/lib/jitgate/jitgate.db jitgate pool status";
const CONFIGURATION: &str = r#"
[server]
admin_listen = "unix:/run/jitgate/admin.sock"
[github]
api_url = "http://127.0.0.1:8099"
web_url = "http://127.0.0.1:8099"
[runners]
host = "synthetic"
[[repositories]]
full_name = "octo-org/chem-model"
"#;
/// The world at the start: a trusted author, and routing that is on.
const WORLD: &str = r#"{
    "permissions": {"alice": "write"},
    "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
    "pulls": [{"number": 7, "author": "alice"}]
}"#;

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
    /// Starts a fresh container, with jitgate, its configuration, and a simulated GitHub.
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
        machine.write("/etc/jitgate/jitgate.toml", CONFIGURATION, "0644");
        machine.write("/etc/jitgate/app.pem", &private_key(), "0600");
        machine.sh(&format!(
            "systemd-run --unit=github /usr/local/bin/jitgate simulate --listen {GITHUB}"
        ));
        machine.until(&format!("(exec 3<>/dev/tcp/{})", GITHUB.replace(':', "/")));
        machine.apply(WORLD);
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

    /// Runs a script of this machine in the network of the container. `github PATH` calls the simulated GitHub.
    #[track_caller]
    fn at_github(&self, script: &str) -> String {
        let call = "curl --fail-with-body --silent --show-error --noproxy '*'";
        let script = format!("github() {{ path=$1; shift; {call} \"$@\" \"http://{GITHUB}$path\"; }}; {script}");
        let mut command = as_root("timeout");
        command.args([TIMEOUT_S, "nsenter", "-t", &self.leader, "-n", "bash", "-c", &script]);
        let output = command
            .output()
            .expect("timeout is missing: install the Debian package `coreutils`");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{script}: {out} {err}\n{}", self.journal());
        out
    }

    /// Changes the world of the simulated GitHub.
    #[track_caller]
    pub(crate) fn apply(&self, world: &str) {
        self.at_github(&format!("github /_simulator/apply --data '{world}'"));
    }

    /// Returns the number of jobs, runners and calls that the simulated GitHub has counted.
    #[track_caller]
    pub(crate) fn tally(&self) -> Value {
        serde_json::from_str(&self.at_github("github /_simulator/tally")).expect("JSON")
    }

    /// Waits until a job has run its steps on a runner of jitgate.
    #[track_caller]
    pub(crate) fn until_ran(&self, job: u64) {
        let ran = format!("\"{job}\":{{\"conclusion\":\"success\",\"ran\":true,\"runner\":\"chem-jit-");
        self.at_github(&format!(
            "until github /_simulator/tally | grep -qF '{ran}'; do github /_simulator/settle --data '{{}}' >/dev/null; sleep 0.1; done"
        ));
    }

    /// Waits until GitHub shows a text in its list of runners.
    #[track_caller]
    pub(crate) fn until_listed(&self, text: &str) {
        let list =
            format!("github /repos/octo-org/chem-model/actions/runners -H 'authorization: Bearer {PERSONAL_TOKEN}'");
        self.at_github(&format!("until {list} | grep -qF '{text}'; do sleep 0.1; done"));
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

    /// Runs `jitgate setup`.
    pub(crate) fn setup(&self, command: &str) -> Answer {
        self.answer(&["sh", "-c", &format!("jitgate --json setup {command}")])
    }

    /// Returns what `jitgate pool status` shows about the pool of the units.
    #[track_caller]
    pub(crate) fn pool_status(&self) -> Value {
        serde_json::from_str(&self.sh(&format!("{POOL_STATUS} --json"))).expect("JSON")
    }

    /// Waits until the pool of the units has this number of slots, all of them free.
    #[track_caller]
    pub(crate) fn until_ready(&self, slots: usize) {
        self.until(&format!("test $({POOL_STATUS} | grep -c ' ready  idle ') = {slots}"));
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
