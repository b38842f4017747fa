//! `jitgate setup ... --dry-run`: files, services and GitHub are the same before and after.

use super::stage::{REPOSITORY, Stage};
use crate::support::command::search_path;
use crate::support::scripted::KEY;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Records its arguments. A unit is active and enabled once it was enabled.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$1" in
show)
    shift 3
    for unit; do
        if grep -qsx "enable --now $unit" OUT/systemctl; then
            printf 'UnitFileState=enabled\nActiveState=active\nActiveEnterTimestamp=@99999999999\n\n'
        else
            printf 'UnitFileState=\nActiveState=inactive\nActiveEnterTimestamp=\n\n'
        fi
    done
    ;;
*) echo "$*" >>OUT/systemctl ;;
esac
"#;
const GETENT: &str = "#!/bin/sh\n[ -e OUT/useradd ] && echo \"$2:x:4242:4242::/:/bin/false\" || exit 2\n";
const OTHER: &str = "#!/bin/sh\necho \"$*\" >>\"OUT/$(basename \"$0\")\"\n";

/// A machine of scripts, whose records lie outside of the compared folder.
struct Desk {
    stage: Stage,
    out: TempDir,
    path: String,
}

impl Desk {
    fn set() -> Self {
        let (stage, out) = (Stage::set(), TempDir::new().expect("a folder"));
        for (name, text) in [
            ("systemctl", SYSTEMCTL),
            ("getent", GETENT),
            ("useradd", OTHER),
            ("install", OTHER),
        ] {
            let path = stage.at("tools").join(name);
            fs::create_dir_all(stage.at("tools")).expect("a folder");
            let text = text.replace("OUT/", &format!("{}/", out.path().display()));
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        for folder in ["units", "home", "etc"] {
            fs::create_dir(stage.at(folder)).expect("a folder");
        }
        let path = format!("{}:{}", stage.at("tools").display(), search_path());
        Self { stage, out, path }
    }

    /// Returns what the scripts were asked to change.
    fn changes(&self) -> Vec<(String, String)> {
        let records = fs::read_dir(self.out.path()).expect("a folder").flatten();
        let text = |path| fs::read_to_string(path).expect("a record");
        let mut changes: Vec<_> = records
            .map(|record| (record.file_name().to_string_lossy().into_owned(), text(record.path())))
            .collect();
        changes.sort();
        changes
    }

    /// Runs a command with `--dry-run`, which must show steps and change nothing. Returns the steps.
    fn dry(&self, words: &[&str]) -> Vec<Value> {
        let before = self.changes();
        let words = [&["--json", "setup"], words, &["--dry-run"]].concat();
        let answer = self.stage.assert_changes_nothing(&words, &[("PATH", &self.path)]);
        assert_eq!(self.changes(), before, "{words:?}");
        let shown = answer.json();
        assert_eq!(shown["dry_run"], true, "{shown}");
        let steps = shown["steps"].as_array().expect("steps").clone();
        assert!(!steps.is_empty(), "{words:?}: {shown}");
        steps
    }

    /// Runs a command, which must take the same steps.
    fn take(&self, words: &[&str], steps: &[Value]) {
        let words = [&["--json", "setup"], words].concat();
        let taken = self.stage.run_with(&words, &[("PATH", &self.path)]).json();
        assert_eq!(taken["steps"].as_array().map(Vec::as_slice), Some(steps), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_units_shows_the_steps_and_changes_nothing() {
    let app = ["--app-installation-id", "5"];
    for (command, flags, changed) in [
        (
            "supervisor",
            &["--token-source", "app", app[0], app[1]][..],
            &["--max", "9"][..],
        ),
        (
            "reconcile-timer",
            &["--token-source", "app", app[0], app[1]],
            &["--max", "9"],
        ),
        ("token-refresh", &app, &["--interval", "60"]),
        ("recovery", &["--repo", REPOSITORY], &["--group", "builders"]),
    ] {
        let desk = Desk::set();
        let (units, home) = (desk.stage.at("units"), desk.stage.at("home"));
        let place = [
            "--program",
            "/usr/bin/true",
            "--unit-dir",
            units.to_str().expect("text"),
        ];
        let home = match command {
            "recovery" => vec!["--runner-home", home.to_str().expect("text")],
            _ => Vec::new(),
        };
        let words = [&[command], flags, &place, &home].concat();
        let steps = desk.dry(&words);
        desk.take(&words, &steps);
        let installed = (desk.changes(), fs::read_dir(&units).expect("a folder").count());
        assert!(installed.0.len() >= 2 && installed.1 >= 2, "{command}: {installed:?}");

        // An installation that has to be changed.
        desk.dry(&[&words[..], changed].concat());
        assert!(desk.stage.github.changes().is_empty(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_an_app_changes_nothing_before_and_after_its_creation() {
    let desk = Desk::set();
    let url = desk.stage.github.url().to_owned();
    let folder = desk.stage.at("etc").display().to_string();
    let hook = "https://gate.example.com/webhooks/github";
    let words = [
        "app",
        "--folder",
        &folder,
        "--api-url",
        &url,
        "--organization",
        "octo-org",
        "--webhook-url",
        hook,
    ];
    let shown = desk
        .stage
        .assert_changes_nothing(&[&["--json", "setup"], &words[..], &["--dry-run"]].concat(), &[])
        .json();
    assert_eq!(shown["manifest"]["hook_attributes"]["url"], hook);

    desk.stage.write_secret("etc/app.pem", &KEY.private_pem);
    desk.stage.write_secret("etc/webhook-secret", "hunter2-hunter2-hunter2");
    let note = json!({
        "app_id": 1, "client_id": null, "slug": "octoapp", "owner": "octo-org", "html_url": url,
        "created_at": "2026-01-01T00:00:00Z", "by": null, "why": null,
    });
    fs::write(desk.stage.at("etc/app.json"), note.to_string()).expect("a note");
    let steps = desk.dry(&words);
    desk.take(&words, &steps);
    assert!(!desk.stage.github.changes().is_empty(), "it sets the webhook");
    assert!(desk.stage.at("etc/jitgate.toml").exists());
}
