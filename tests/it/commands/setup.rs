//! `jitgate setup`: plans, refusals and the calls of `systemctl`, which is a script here. `tests/systemd/` has a real one.

use super::stage::{Answer, Stage};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Records its arguments. Units are active and enabled once they are in `$DIR/on`.
const SYSTEMCTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "systemctl $*" >>"$here/calls"
case "$1" in
show)
    shift 3
    for unit; do
        if grep -qx "$unit" "$here/on"; then
            printf 'UnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\nActiveEnterTimestamp=@99999999999\n\n'
        else
            printf 'UnitFileState=\nActiveState=inactive\nNeedDaemonReload=no\nActiveEnterTimestamp=\n\n'
        fi
    done
    ;;
enable) echo "$3" >>"$here/on" ;;
disable) grep -vx "$3" "$here/on" >"$here/rest"; mv "$here/rest" "$here/on" ;;
esac
"#;
const OTHER: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>\"$(dirname \"$0\")/calls\"\n";
const GETENT: &str =
    "#!/bin/sh\ngrep -q useradd \"$(dirname \"$0\")/calls\" && echo \"$2:x:4242:4242::/:/bin/false\" || exit 2\n";

/// A machine with programs that record their calls.
struct Desk {
    stage: Stage,
}

impl Desk {
    async fn set() -> Self {
        let stage = Stage::set().await;
        stage.program("bin/systemctl", SYSTEMCTL);
        stage.program("bin/getent", GETENT);
        for name in ["useradd", "install"] {
            stage.program(&format!("bin/{name}"), OTHER);
        }
        for name in ["bin/calls", "bin/on"] {
            fs::write(stage.path(name), "").expect("a file");
        }
        fs::create_dir(stage.path("units")).expect("a folder");
        Self { stage }
    }

    /// Runs `jitgate setup`.
    fn setup(&self, words: &[&str]) -> Answer {
        let path = format!("{}:/usr/bin:/bin", self.stage.path("bin").display());
        let units = self.stage.path("units");
        let place = [
            "--unit-dir",
            units.to_str().expect("text"),
            "--program",
            "/usr/bin/true",
        ];
        let mut words = [&["setup"], words, &place].concat();
        words.insert(0, "--json");
        self.stage.jitgate_with(&words, &[("PATH", &path)])
    }

    /// Runs it with the configuration in a place that units see.
    fn steps(&self, words: &[&str]) -> Vec<String> {
        let steps = self.setup(words).json();
        let steps = steps["steps"].as_array().expect("steps").iter();
        let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let name = |subject: String| subject.rsplit('/').next().unwrap_or_default().to_owned();
        steps
            .map(|step| format!("{} {}", word(step, "action"), name(word(step, "subject"))))
            .collect()
    }

    /// Returns the calls that changed something.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.stage.path("bin/calls")).expect("the calls");
        let calls = calls.lines().filter(|call| !call.starts_with("systemctl show"));
        calls.map(str::to_owned).collect()
    }

    fn unit(&self, name: &str) -> String {
        fs::read_to_string(self.stage.path("units").join(name)).expect("a unit")
    }

    /// Returns flags, and then those of an App.
    fn with_app<'a>(words: &[&'a str], key: &'a str) -> Vec<&'a str> {
        let app = [
            "--app-id",
            "1",
            "--app-installation-id",
            "5",
            "--app-private-key-file",
            key,
        ];
        [words, &app].concat()
    }

    /// Writes a key of an App.
    fn key(&self) -> String {
        let path = self.stage.path("app.pem");
        let output = Command::new("openssl").args(["genrsa", "2048"]).output();
        fs::write(&path, output.expect("openssl").stdout).expect("a key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path.display().to_string()
    }
}

const SUPERVISOR: &str = "chem-runner-pool-supervisor.service";

#[test]
fn a_dry_run_works_alone_without_root_and_without_a_configuration() {
    let folder = tempfile::TempDir::new().expect("a folder");
    // In a user namespace without a mapping, no process is root.
    let setup = |words: &[&str]| {
        let output = Command::new("unshare")
            .args(["--user", env!("CARGO_BIN_EXE_jitgate"), "setup"])
            .args(words)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("unshare is missing: install the Debian package `util-linux`");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    };
    for command in ["supervisor", "reconcile-timer", "token-refresh", "recovery"] {
        let Answer { code, out, err } = setup(&[command, "--dry-run", "--program", "/tmp/missing/jitgate"]);
        assert_eq!(code, 0, "{command}: {err}");
        assert!(
            out.contains("would write /etc/systemd/system/chem-"),
            "{command}: {out}"
        );
        for part in [
            "can only be changed by root",
            "sudo jitgate setup",
            "--program /tmp/missing/jitgate: No such file",
            "a hardened unit does not see files in /tmp",
        ] {
            assert!(err.contains(part), "{command}: {part}: {err}");
        }
    }
    let Answer { code, err, .. } = setup(&["supervisor", "--repo", "octo-org/chem-model"]);
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("remedy: run `sudo jitgate setup supervisor`"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_mode_ends_before_this_one_begins() {
    let desk = Desk::set().await;
    let first = desk.steps(&["supervisor", "--min", "2", "--max", "3", "--interval", "20"]);
    let expected = [
        "create the account jitgate",
        "write chem-runner-pool-supervisor.service",
        "reload the units of systemd",
        "enable and start chem-runner-pool-supervisor.service",
    ];
    assert_eq!(first, expected);
    // A missing target means the maximum.
    let unit = desk.unit(SUPERVISOR);
    assert!(
        unit.contains(" pool supervise --interval 20 --min 2 --max 3 --target 3\n"),
        "{unit}"
    );
    let config = desk.stage.path("jitgate.toml").display().to_string();
    assert!(
        unit.contains(&format!("ExecStart=/usr/bin/true --config {config} pool")),
        "{unit}"
    );
    // The configuration names a store, and no state directory.
    let settings: Vec<&str> = unit.lines().filter(|line| line.starts_with("Environment=")).collect();
    assert_eq!(settings, ["Environment=JITGATE__SERVER__STATE_DIR=%S/jitgate"]);

    assert_eq!(
        desk.steps(&["supervisor", "--min", "2", "--max", "3", "--interval", "20"]),
        [""; 0]
    );
    let switched = desk.steps(&["reconcile-timer"]);
    let expected = [
        "write chem-runner-pool-reconcile.service",
        "write chem-runner-pool-reconcile.timer",
        "reload the units of systemd",
        "stop and disable chem-runner-pool-supervisor.service",
        "enable and start chem-runner-pool-reconcile.timer",
    ];
    assert_eq!(switched, expected);
    let calls = desk.calls();
    assert_eq!(
        calls[1..],
        [
            "systemctl daemon-reload",
            "systemctl enable --now chem-runner-pool-supervisor.service",
            "systemctl daemon-reload",
            "systemctl disable --now chem-runner-pool-supervisor.service",
            "systemctl enable --now chem-runner-pool-reconcile.timer",
        ]
    );
    assert!(
        calls[0].starts_with("useradd --system ") && calls[0].ends_with(" jitgate"),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_unit_is_refused_unless_forced() {
    let desk = Desk::set().await;
    desk.steps(&["supervisor", "--why", "first\nExecStart=/bin/evil", "--by", "alice"]);
    let unit = desk.unit(SUPERVISOR);
    assert!(
        unit.contains("# By alice: first") && !unit.contains("\nExecStart=/bin/evil"),
        "{unit}"
    );
    let path = desk.stage.path("units").join(SUPERVISOR);
    fs::write(&path, unit.replace("TasksMax=16384", "TasksMax=1")).expect("edited");
    let calls = desk.calls();
    let refused = desk.setup(&["supervisor"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(
        refused.err.contains("edited by hand") && refused.err.contains("systemctl edit"),
        "{}",
        refused.err
    );
    let preview = desk.setup(&["supervisor", "--dry-run"]);
    assert_eq!(preview.code, 0, "{}", preview.err);
    assert!(
        preview.err.contains("edited by hand") && preview.out.contains(SUPERVISOR),
        "{}{}",
        preview.out,
        preview.err
    );
    assert_eq!(desk.calls(), calls);
    let forced = desk.steps(&["supervisor", "--force"]);
    assert_eq!(forced[0], format!("write {SUPERVISOR}"));
    assert!(desk.unit(SUPERVISOR).contains("TasksMax=16384"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_its_token_refresh_and_the_pool_no_key() {
    let desk = Desk::set().await;
    let key = desk.key();
    let steps = desk.steps(&Desk::with_app(&["supervisor", "--token-source", "app"], &key));
    assert_eq!(
        steps.last().map(String::as_str),
        Some("enable and start chem-runner-pool-supervisor.service")
    );
    assert!(
        steps.contains(&"enable and start chem-github-app-token-refresh.timer".to_owned()),
        "{steps:?}"
    );
    assert!(
        steps.contains(&"run chem-github-app-token-refresh.service".to_owned()),
        "{steps:?}"
    );
    // The flags of an App select it. The stand-in for `install` makes no directory.
    assert_eq!(desk.steps(&Desk::with_app(&["supervisor"], &key)), steps[1..2]);
    let refresh = desk.unit("chem-github-app-token-refresh.service");
    let command = "app refresh-token --app-id 1 --app-installation-id 5 --app-private-key-file %d/app.pem --token-file \
                   /etc/chem-model-edit/gh_runner_token --status-file \
                   /var/lib/chem-model-edit/github-app-token-refresh-status.json\n";
    assert!(
        refresh.contains(command) && refresh.contains(&format!("LoadCredential=app.pem:{key}\n")),
        "{refresh}"
    );
    assert!(
        !refresh.contains("\nEnvironment="),
        "it knows neither store nor state: {refresh}"
    );
    let supervisor = desk.unit(SUPERVISOR);
    assert!(supervisor.contains("--token-source file --token-file /etc/chem-model-edit/gh_runner_token\n"));
    assert!(!supervisor.contains("app.pem"), "{supervisor}");
    let calls = desk.calls().join("\n");
    assert!(
        calls.contains("install --directory --mode=0700 --owner=jitgate /etc/chem-model-edit"),
        "{calls}"
    );
    assert!(
        desk.unit("chem-github-app-token-refresh.timer")
            .contains("OnUnitActiveSec=1800s\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_token_refresh_is_an_alert_until_it_is_set_up() {
    let desk = Desk::set().await;
    let key = desk.key();
    let words = [
        "supervisor",
        "--token-source",
        "app",
        "--disable-app-token-refresh-setup",
    ];
    let without = Desk::with_app(&words, &key);
    let refused = desk.setup(&without);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--allow-expiring-app-token"), "{}", refused.err);
    let allowed = [
        &without[..],
        &["--allow-expiring-app-token", "--why", "an emergency", "--by", "alice"],
    ]
    .concat();
    let steps = desk.steps(&allowed);
    assert_eq!(
        steps.last().map(String::as_str),
        Some("raise the alert token-refresh-disabled")
    );
    assert!(!desk.stage.path("units/chem-github-app-token-refresh.timer").exists());
    let alerts = || {
        desk.stage
            .jitgate(&["--json", "alert", "list", "--state", "open"])
            .json()
            .to_string()
    };
    assert!(
        alerts().contains("token-refresh-disabled") && alerts().contains("by alice: an emergency"),
        "{}",
        alerts()
    );
    assert_eq!(desk.steps(&allowed), [""; 0], "a second run changes nothing");
    let open = desk
        .stage
        .jitgate(&["--json", "alert", "list", "--state", "open"])
        .json();
    for alert in open["alerts"].as_array().expect("alerts") {
        let answer = desk
            .stage
            .jitgate(&["alert", "ack", alert["id"].as_str().expect("an id")]);
        assert_eq!(answer.code, 0, "{}", answer.err);
    }
    assert_eq!(desk.steps(&allowed), [""; 0], "an acknowledged alert still stands");

    let steps = desk.steps(&Desk::with_app(&["token-refresh"], &key));
    assert_eq!(
        steps.last().map(String::as_str),
        Some("end the alert token-refresh-disabled")
    );
    assert!(!alerts().contains("token-refresh-disabled"), "{}", alerts());
    let again = desk.steps(&allowed);
    assert!(
        again.contains(&"stop and disable chem-github-app-token-refresh.timer".to_owned()),
        "{again:?}"
    );
    assert!(alerts().contains("token-refresh-disabled"), "it opens again");
    let steps = desk.steps(&Desk::with_app(&["supervisor", "--token-source", "app"], &key));
    assert_eq!(
        steps.last().map(String::as_str),
        Some("end the alert token-refresh-disabled")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_no_configuration_names_is_a_setting_of_the_unit() {
    let desk = Desk::set().await;
    let config = format!("[github]\napp_id = \"1\"\nprivate_key_file = \"{}\"\n", desk.key());
    fs::write(desk.stage.path("jitgate.toml"), config).expect("a configuration");
    let refused = desk.setup(&["supervisor"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("add --repo OWNER/NAME"), "{}", refused.err);
    let url = "http://127.0.0.1:1/a%20b";
    desk.steps(&["supervisor", "--repo", "octo-org/other", "--api-url", url]);
    let unit = desk.unit(SUPERVISOR);
    for line in [
        "Environment=JITGATE__REPOSITORIES=octo-org/other\n",
        "Environment=JITGATE__STORE__URL=sqlite:%S/jitgate/jitgate.db\n",
        "Environment=JITGATE__GITHUB__API_URL=http://127.0.0.1:1/a%%20b\n",
    ] {
        assert!(unit.contains(line), "{line}: {unit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_the_token_belongs_to_the_account_alone() {
    let desk = Desk::set().await;
    let key = desk.key();
    let folder = desk.stage.path("secret");
    fs::create_dir(&folder).expect("a folder");
    let token = folder.join("token").display().to_string();
    let own = rustix::process::getuid().as_raw();
    for (mode, account, is_closed) in [(0o700, own, true), (0o750, own, false), (0o700, own + 1, false)] {
        desk.stage.program(
            "bin/getent",
            &format!("#!/bin/sh\necho \"$2:x:{account}:1::/:/bin/false\"\n"),
        );
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("a mode");
        let answer = desk.setup(&Desk::with_app(&["token-refresh", "--token-file", &token], &key));
        let is_refused = answer.err.contains("does not belong to jitgate alone");
        assert_eq!(
            (answer.code == 0, is_refused),
            (is_closed, !is_closed),
            "{mode:o} {account}: {}",
            answer.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_cannot_work_is_refused_with_a_remedy() {
    let desk = Desk::set().await;
    let key = desk.key();
    let open = desk.stage.path("open.pem");
    fs::copy(&key, &open).expect("a copy");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("a mode");
    let open = open.display().to_string();
    let with = Desk::with_app;
    let plain = |words: &[&'static str]| words.to_vec();
    let table = [
        (
            with(&["token-refresh", "--interval", "3001"], &key),
            2,
            "not between 5 and 3000 s",
        ),
        (with(&["token-refresh"], &open), 3, "is readable by others"),
        (with(&["token-refresh"], "/nowhere/app.pem"), 3, "cannot be read"),
        (
            with(&["token-refresh", "--token-file", "token"], &key),
            2,
            "is not an absolute path",
        ),
        (
            with(&["token-refresh", "--token-file", "/etc/passwd"], &key),
            6,
            "does not belong to jitgate alone",
        ),
        (plain(&["token-refresh"]), 2, "add --app-id ID"),
        (plain(&["supervisor", "--token-source", "gh"]), 2, "--token-source app"),
        (plain(&["supervisor", "--token-source", "env"]), 2, "--token-source app"),
        (plain(&["supervisor", "--token-source", "file"]), 2, "--token-file"),
        (
            plain(&["supervisor", "--min", "5", "--max", "4"]),
            2,
            "--min and --max, the minimum first",
        ),
        (plain(&["supervisor", "--min", "0", "--max", "0"]), 2, "leaves no slot"),
        (plain(&["supervisor", "--interval", "0"]), 2, "1..=3600"),
        (
            plain(&["supervisor", "--repo", "octo-org/other"]),
            3,
            "is not configured",
        ),
        (plain(&["supervisor", "--user", "a b%c"]), 2, "a unit cannot contain"),
        (
            plain(&["supervisor", "--disable-app-token-refresh-setup"]),
            2,
            "has no effect without",
        ),
        (
            plain(&["recovery", "--runner-home", "/nowhere"]),
            2,
            "is not a directory",
        ),
    ];
    for (words, code, part) in table {
        let answer = desk.setup(&words);
        assert_eq!(answer.code, code, "{words:?}: {}", answer.err);
        assert!(answer.err.contains(part), "{words:?}: {}", answer.err);
        assert!(
            answer.err.contains("remedy") || answer.err.contains("error:"),
            "{words:?}: {}",
            answer.err
        );
    }
    assert_eq!(desk.calls(), [""; 0], "nothing has changed");
    assert_eq!(fs::read_dir(desk.stage.path("units")).expect("a list").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_systemctl_names_the_unit_and_the_next_run_completes_the_work() {
    let desk = Desk::set().await;
    let broken = SYSTEMCTL.replace("enable) echo", "enable) echo 'Job failed.' >&2; exit 1; echo");
    desk.stage.program("bin/systemctl", &broken);
    let failed = desk.setup(&["supervisor"]);
    assert_eq!(failed.code, 6, "{}", failed.err);
    assert!(
        failed.err.contains("Job failed.") && failed.err.contains("journalctl -u"),
        "{}",
        failed.err
    );
    // A unit that does not start, and one that starts again and again.
    let idle = SYSTEMCTL.replace("enable) echo", "enable) : ; exit ; echo");
    let failing = SYSTEMCTL.replace("ActiveState=active", "ActiveState=activating\\nResult=exit-code");
    for script in [idle, failing] {
        assert_ne!(script, SYSTEMCTL);
        desk.stage.program("bin/systemctl", &script);
        let failed = desk.setup(&["supervisor"]);
        assert_eq!(failed.code, 6, "{}", failed.err);
        assert!(failed.err.contains("installed, but does not run"), "{}", failed.err);
    }
    desk.stage.program("bin/systemctl", SYSTEMCTL);
    fs::write(desk.stage.path("bin/on"), "").expect("a file");
    assert_eq!(desk.steps(&["supervisor"]), [format!("enable and start {SUPERVISOR}")]);

    // Without systemd, only a preview works.
    let silent = SYSTEMCTL.replace("show)", "show) echo 'Host is down' >&2; exit 1;");
    desk.stage.program("bin/systemctl", &silent);
    let refused = desk.setup(&["supervisor", "--max", "9"]);
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(
        refused.err.contains("systemd does not answer: Host is down"),
        "{}",
        refused.err
    );
    assert!(!desk.unit(SUPERVISOR).contains("--max 9"));
    let preview = desk.setup(&["supervisor", "--max", "9", "--dry-run"]);
    assert_eq!(preview.code, 0, "{}", preview.err);
    assert!(preview.err.contains("systemd does not answer"), "{}", preview.err);
}
