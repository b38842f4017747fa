//! The operator's guide: a new operator runs its code blocks in order, against a simulated GitHub and a running gate.
//!
//! `sudo` runs a `jitgate` command with `--dry-run`, because it would change the machine of the tests. The places of the
//! guide, such as `/etc/jitgate`, are folders of the test.

use crate::support::command::search_path;
use crate::support::gate::{Place, Process};
use crate::support::scripted::KEY;
use jitgate::adapters::clock::SystemClock;
use jitgate::simulator::{Client, Simulator};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const REPOSITORY: &str = "octo-org/octo-repo";
/// The account without rights that every system has.
const NOBODY: u32 = 65534;
/// The App of the guide, and the one of the simulated GitHub.
const APP: &str = "123456";
const SIMULATED_APP: &str = "1";
/// The simulated GitHub of the rehearsal.
const REHEARSED: &str = "http://127.0.0.1:3000";
/// The places of the guide that are folders of the test.
const PLACES: [&str; 4] = ["/etc/jitgate", "/opt/actions-runner", "/tmp/", "/var/lib/"];

/// A code block, and whether its exit code is part of the answer.
struct Block {
    line: usize,
    text: String,
    has_any_code: bool,
}

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operator-guide.md");
    fs::read_to_string(path).expect("the guide")
}

/// Returns the blocks of the guide in the language `sh`.
fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in guide.lines().enumerate() {
        let text = line.trim_start();
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(language)) if language.split(' ').next() == Some("sh") => {
                open = Some(Block {
                    line: at + 1,
                    text: String::new(),
                    has_any_code: language.ends_with("exit=any"),
                });
            }
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.text.push_str(&format!("{text}\n")),
            _ => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

/// A new machine with a checkout of jitgate, an App, and GitHub.
struct Machine {
    place: Place,
    _gate: Process,
    simulator: Simulator,
}

impl Machine {
    async fn set() -> Self {
        let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("it starts");
        let github = Client::new(simulator.url(), reqwest::Client::new());
        let world = json!({
            "repositories": [{"full_name": REPOSITORY, "private": true}],
            "pulls": [{"number": 7, "author": "alice", "head": {"branch": "topic"}}],
            "permissions": {"alice": "write"},
        });
        github.apply(&world).await.expect("a world");
        let place = Place::new();
        let at = |name: &str| place.path(name).display().to_string();
        let configuration = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n
             [webhook]\nsecrets = [\"the current webhook secret\"]\n
             [github]\napi_url = \"{}\"\napp_id = \"{SIMULATED_APP}\"\nprivate_key_file = \"{}\"\n
             [runners]\nhost = \"synthetic\"\n
             [[repositories]]\nfull_name = \"{REPOSITORY}\"\n",
            simulator.url(),
            at("etc/jitgate/app.pem"),
        );
        place.file("jitgate.toml", &configuration, 0o600);
        place.file("etc/jitgate/app.pem", &KEY.private_pem, 0o600);
        for program in [
            "run.sh",
            "config.sh",
            "svc.sh",
            "bin/Runner.Listener",
            "bin/installdependencies.sh",
        ] {
            let name = format!("opt/actions-runner/{program}");
            place.file(&name, "#!/bin/sh\n", 0o755);
            // A runner program does not belong to root. Another account cannot change the owner, and need not.
            chown(place.path(&name), Some(NOBODY), Some(NOBODY)).ok();
        }
        for folder in ["tmp", "var/lib"] {
            fs::create_dir_all(place.path(folder)).expect("a folder");
        }
        place.file(
            "bin/sudo",
            "#!/bin/sh\n[ \"$1\" = jitgate ] && exec \"$@\" --dry-run\nexec \"$@\"\n",
            0o755,
        );
        place.file("bin/systemctl", "#!/bin/sh\nexit 0\n", 0o755);
        symlink(env!("CARGO_BIN_EXE_jitgate"), place.path("bin/jitgate")).expect("a link");
        let mut gate = place.start(&["serve"], &[]);
        gate.err.line_with("listening").await;
        Self {
            place,
            _gate: gate,
            simulator,
        }
    }

    fn folder(&self) -> PathBuf {
        self.place.path("")
    }

    /// Runs a block as a shell does, with the places of the guide below the folder of the test.
    fn run(&self, block: &Block) -> (Option<i32>, String) {
        let root = self.folder().display().to_string();
        let root = root.trim_end_matches('/');
        // The folder of the test can lie below one of the places.
        let marked = PLACES.iter().fold(block.text.clone(), |script, place| {
            script.replace(place, &format!("<root>{place}"))
        });
        let script = marked.replace("<root>", root).replace(APP, SIMULATED_APP);
        let script = script.replace(REHEARSED, self.simulator.url());
        let path = search_path();
        let output = Command::new("sh")
            .args(["-euc", &script])
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", format!("{root}/bin:{path}"))
            .env("HOME", root)
            // The account of the tests stands for the account of the runner.
            .env("RUNNER_ALLOW_RUNASROOT", "1")
            .output()
            .expect("a shell");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_works_in_its_order() {
    let machine = Machine::set().await;
    let blocks = blocks(&guide());
    assert!(blocks.len() >= 20, "only {} blocks were found", blocks.len());
    let mut mistakes = Vec::new();
    for block in &blocks {
        let (code, said) = machine.run(block);
        let at = format!("line {} of the guide:\n{}\n{said}", block.line, block.text);
        // 2 is a mistake in the guide; 1, 4, 6 and 8 say what this machine lacks.
        let is_good = match (code, block.has_any_code) {
            (Some(0), _) => true,
            (Some(code), true) => [1, 4, 6, 8].contains(&code),
            _ => false,
        };
        if !is_good || said.contains("bug:") {
            mistakes.push(format!("exit {code:?} at {at}"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_guide_names_each_script_of_the_checklist_and_each_command_it_became() {
    let guide = guide();
    let commands = blocks(&guide).into_iter().map(|block| block.text).collect::<String>();
    for command in [
        "setup app",
        "setup github",
        "setup supervisor",
        "setup token-refresh",
        "verify",
        "app check",
        "app installation-id",
        "app token",
        "app cleanup",
        "jit request",
        "runner run",
        "runner register",
        "runner health",
        "runner recover",
        "pool scale",
        "pool status",
        "routing enable",
        "routing disable",
        "routing status",
        "routing guard",
        "rollout status",
        "slo",
        "incident list",
    ] {
        assert!(
            commands.contains(&format!("jitgate {command}")),
            "no block runs jitgate {command}"
        );
    }
    for section in 0..=11 {
        assert!(
            guide.contains(&format!("\n## {section}. ")),
            "section {section} is missing"
        );
    }
}
