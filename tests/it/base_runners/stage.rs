//! A folder with a runner program made of scripts, and a described GitHub whose inventory these scripts change.

use crate::commands::stage::Answer;
use crate::documented::stage::{REPOSITORY, Stage as Described};
use crate::support::openapi::OpenApiGithub;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const LIST: &str = "GET /repos/{owner}/{repo}/actions/runners";
pub(crate) const TOKEN: &str = "POST /repos/{owner}/{repo}/actions/runners/registration-token";
pub(crate) const DELETE: &str = "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}";
pub(crate) const VISIBILITY: &str = "GET /repos/{owner}/{repo}";
/// The name of the service that `svc.sh` makes.
pub(crate) const UNIT: &str = "actions.runner.octo-org-octo-repo.base.service";
/// The token of GitHub's own example.
pub(crate) const TOKEN_TEXT: &str = "LLBF3JGZDX3P5PMEXLND6TS6FCWO6";

const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >>OUT/calls
[ ! -e OUT/broken ] || { echo 'Failed to connect to bus: Connection refused' >&2; exit 1; }
case $1 in
list-units | list-unit-files) [ ! -e OUT/unit ] || echo "UNIT loaded x x" ;;
show)
    [ -e OUT/unit ] && load=loaded || load=not-found
    printf 'Id=UNIT\nLoadState=%s\nActiveState=%s\nWorkingDirectory=HOME\n' $load "$(cat OUT/unit 2>/dev/null || echo inactive)"
    ;;
restart) echo active >OUT/unit; [ -e OUT/stays-offline ] || sed -i 's/"offline"/"online"/' OUT/inventory ;;
esac
"#;
const CONFIG: &str = r#"#!/bin/sh
echo "config.sh $*" >>OUT/calls
env >OUT/config-environment
[ ! -e OUT/config-fails ] || { echo 'Http response code: Forbidden' >&2; exit 1; }
[ ! -e .runner ] || { echo 'Cannot configure the runner because it is already configured' >&2; exit 1; }
while [ $# -gt 0 ]; do
    case $1 in --name) name=$2 ;; --url) url=$2 ;; --work) work=$2 ;; --labels) labels=$2 ;; esac
    shift
done
printf '\357\273\277{"agentId": 77, "agentName": "%s", "gitHubUrl": "%s", "workFolder": "%s"}' "$name" "$url" "$work" >.runner
echo secret >.credentials
names=$(printf '{"name": "self-hosted"}'; for label in $(echo "$labels" | tr , ' '); do printf ', {"name": "%s"}' "$label"; done)
printf '[{"id": 77, "name": "%s", "os": "linux", "status": "offline", "busy": false, "labels": [%s]}]' "$name" "$names" >OUT/inventory
cp OUT/svc.sh .
"#;
const SVC: &str = r#"#!/bin/sh
echo "svc.sh $*" >>OUT/calls
[ ! -e OUT/svc-fails ] || { echo 'Failed: failed to enable' >&2; exit 1; }
case $1 in
install) [ ! -e OUT/unit ] || { echo 'Failed: error: exists' >&2; exit 1; }; echo inactive >OUT/unit; echo UNIT >.service ;;
start) echo active >OUT/unit; [ -e OUT/stays-offline ] || sed -i 's/"offline"/"online"/' OUT/inventory ;;
stop) echo inactive >OUT/unit ;;
uninstall) rm -f OUT/unit .service ;;
esac
"#;

/// The stage; it also holds the scripts' records, outside of the folder that commands may change.
pub(crate) struct Stage {
    pub(crate) described: Described,
    pub(crate) out: TempDir,
}

impl Stage {
    /// With a runner program that is not registered.
    pub(crate) fn set() -> Self {
        let stage = Self {
            described: Described::set(),
            out: TempDir::new().expect("a folder"),
        };
        stage.inventory(&json!([]));
        let inventory = stage.out.path().join("inventory");
        stage.github().react(LIST, move |call| {
            let text = fs::read_to_string(&inventory).expect("the inventory");
            let all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
            let name = call.query.split('&').find_map(|pair| pair.strip_prefix("name="));
            let fits = |runner: &&Value| name.is_none_or(|name| runner["name"] == name);
            let runners: Vec<&Value> = all.iter().filter(fits).collect();
            (200, json!({"total_count": runners.len(), "runners": runners}))
        });
        stage.github().answer(
            VISIBILITY,
            200,
            json!({"id": 1, "full_name": REPOSITORY, "private": true}),
        );
        stage.github().answer(DELETE, 204, Value::Null);
        fs::create_dir_all(stage.home().join("bin")).expect("a folder");
        for (name, text) in [
            ("home/config.sh", CONFIG),
            ("home/run.sh", "#!/bin/sh\n"),
            ("home/bin/Runner.Listener", "#!/bin/sh\n"),
            ("home/bin/installdependencies.sh", "#!/bin/sh\n"),
            ("tools/systemctl", SYSTEMCTL),
        ] {
            stage.script(&stage.described.at(name), text);
        }
        stage.script(&stage.out.path().join("svc.sh"), SVC);
        stage
    }

    pub(crate) fn github(&self) -> &OpenApiGithub {
        &self.described.github
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.described.at("home")
    }

    /// Writes a script. `OUT`, `HOME` and `UNIT` stand for the folders and the service.
    pub(crate) fn script(&self, path: &Path, text: &str) {
        let text = text
            .replace("OUT/", &format!("{}/", self.out.path().display()))
            .replace("=HOME\\n", &format!("={}\\n", self.home().display()))
            .replace("UNIT", UNIT);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// Switches a behaviour of the scripts on.
    pub(crate) fn let_be(&self, what: &str) {
        fs::write(self.out.path().join(what), "").expect("a file");
    }

    pub(crate) fn no_longer(&self, what: &str) {
        fs::remove_file(self.out.path().join(what)).expect("a file");
    }

    /// Sets GitHub's inventory.
    pub(crate) fn inventory(&self, runners: &Value) {
        fs::write(self.out.path().join("inventory"), runners.to_string()).expect("a file");
    }

    /// A runner in the inventory.
    pub(crate) fn runner(id: u64, name: &str, status: &str, busy: bool) -> Value {
        json!({"id": id, "name": name, "os": "linux", "status": status, "busy": busy,
               "labels": [{"name": "self-hosted"}, {"name": "gpu"}]})
    }

    /// The page of the repository.
    pub(crate) fn url(&self) -> String {
        format!("{}/{REPOSITORY}", self.github().url())
    }

    /// Puts a registration of runner `base` into the folder, with its service in a state.
    pub(crate) fn registered(&self, url: &str, unit: &str) {
        let settings = json!({"agentId": 77, "agentName": "base", "gitHubUrl": url, "workFolder": "_own"});
        fs::write(self.home().join(".runner"), settings.to_string()).expect("a file");
        fs::write(self.home().join(".credentials"), "old").expect("a file");
        fs::write(self.home().join(".service"), UNIT).expect("a file");
        self.script(&self.home().join("svc.sh"), SVC);
        fs::write(self.out.path().join("unit"), unit).expect("a file");
    }

    /// Returns the recorded calls of scripts that change something.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.out.path().join("calls")).unwrap_or_default();
        let is_look = |line: &&str| {
            ["list-units", "list-unit-files", "show"]
                .iter()
                .any(|verb| line.starts_with(&format!("systemctl {verb} ")))
        };
        text.lines().filter(|line| !is_look(line)).map(str::to_owned).collect()
    }

    pub(crate) fn record(&self, name: &str) -> String {
        fs::read_to_string(self.out.path().join(name)).unwrap_or_default()
    }

    /// Returns a command that runs `jitgate` as root, or as what a user namespace takes for root.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_jitgate");
        let mut command = if rustix::process::getuid().is_root() {
            Command::new(program)
        } else {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--", program]);
            command
        };
        self.equip(&mut command, args);
        command
    }

    fn equip(&self, command: &mut Command, args: &[&str]) {
        command
            .args(args)
            .current_dir(self.described.folder.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin:/usr/sbin", self.described.at("tools").display()),
            )
            .env("GH_TOKEN", "hunter2-of-the-operator")
            .env("RUNNER_ALLOW_RUNASROOT", "1")
            .stdin(Stdio::null());
    }

    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Answer {
        let mut command = self.command(args);
        answer(command.envs(environment.iter().copied()))
    }

    /// Runs a command as an account that is not root, but owns the same files.
    pub(crate) fn run_without_root(&self, args: &[&str]) -> Answer {
        let mut command = Command::new("unshare");
        command.args(["--user", "--", env!("CARGO_BIN_EXE_jitgate")]);
        self.equip(&mut command, args);
        answer(&mut command)
    }

    /// Expects that a command changes neither files, nor services, nor GitHub.
    pub(crate) fn assert_changes_nothing(&self, args: &[&str], code: i32) -> Answer {
        let before = (
            self.described.files(),
            self.calls(),
            self.github().changes(),
            self.record("unit"),
        );
        let answer = self.run(args);
        assert_eq!(answer.code, code, "{args:?}: {}{}", answer.out, answer.err);
        let after = (
            self.described.files(),
            self.calls(),
            self.github().changes(),
            self.record("unit"),
        );
        assert!(before == after, "{args:?} changes something: {}", answer.out);
        answer
    }

    /// Writes a file with a JIT configuration for runner 41, which belongs to a page.
    pub(crate) fn jit_file(&self, url: &str) -> String {
        let settings = json!({
            "AgentId": "41", "AgentName": "chem-jit-1", "GitHubUrl": url, "WorkFolder": "_work", "Ephemeral": "True",
        });
        let files = json!({".runner": STANDARD.encode(settings.to_string()), ".credentials": STANDARD.encode("{}")});
        let text = json!({
            "runner": {"id": 41, "name": "chem-jit-1"}, "encoded_jit_config": STANDARD.encode(files.to_string()),
        });
        let path = self.described.write_secret("jit.json", &text.to_string());
        path.display().to_string()
    }
}

pub(crate) fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("jitgate runs");
    Answer {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}
