//! The host without root: the gate, its keepers and QEMU run as an account that has no rights and not even a name.

use crate::built::{self, image, runner};
use crate::image::beside;
use crate::jobs::{SETTINGS, below, no_slot_is_left, outputs, patient};
use crate::machine::eventually;
use crate::stage::{RUNNER_PROGRAM, Stage, world};
use crate::support::gate::Place;
use crate::world::World;
use jitgate::simulator::Tally;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// An account of which no file of this machine knows anything.
const NAMELESS: u32 = 61_234;
/// An account with a name, which a range of further ids needs.
const SUBORDINATE_OWNER: u32 = 65534;
/// The address of the machine at which a job finds the simulated GitHub; see `built`.
const GITHUB: &str = "203.0.113.2:3000";
/// The variable that is set where the test runs on the machine that it has made.
const ON_MACHINE: &str = "JITGATE_TEST_ON_MACHINE";
/// Puts files in the place of others that only this process and its children see, and becomes an account without rights.
const BECOME: &str = r#"
while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit 1; done
shift
exec setpriv --reuid="$0" --regid="$0" --clear-groups --inh-caps=-all --ambient-caps=-all "$@"
"#;
/// Options of setpriv that keep programs with a set-user-ID bit, such as newuidmap, from giving any rights.
const NO_PRIVILEGES: [&str; 2] = ["--no-new-privs", "--bounding-set=-all"];

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("ourselves").uid() == 0
}

/// Returns the words before those of a program that runs as the account and sees each first file in the place of the second.
fn become_account(account: u32, seen: &[(&Path, &str)]) -> Vec<String> {
    let mut words = ["unshare", "--mount", "sh", "-c", BECOME].map(str::to_owned).to_vec();
    words.push(account.to_string());
    for (file, path) in seen {
        words.extend([file.display().to_string(), (*path).to_owned()]);
    }
    words.push("--".to_owned());
    words
}

/// Makes the device of uplinks with this mode. The one of a container can be closed, while udev opens it to all.
fn tun(folder: &Path, mode: &str) {
    let mut make = Command::new("mknod");
    make.args(["--mode", mode])
        .arg(folder.join("tun"))
        .args(["c", "10", "200"]);
    assert!(make.status().expect("mknod").success(), "root makes devices");
}

/// Returns a place in which jitgate has no rights: as the account without a name if this is root.
fn place_of_nameless(devices: &TempDir, mode: &str) -> Place {
    if !is_root() {
        return Place::new();
    }
    tun(devices.path(), mode);
    let mut words = become_account(NAMELESS, &[(&devices.path().join("tun"), "/dev/net/tun")]);
    words.extend(NO_PRIVILEGES.map(str::to_owned));
    Place::of_account(NAMELESS, words)
}

fn a_job(id: u64) -> Value {
    json!({"id": id, "pull": 7, "jobs": [{"id": 1000 + id, "name": "web", "duration_s": 0}]})
}

async fn stage(place: Place, more: &[(&str, &str)]) -> Stage {
    let image = image().display().to_string();
    let settings = [SETTINGS, &[("qemu.image", &*image)], more].concat();
    let world = patient(world(json!([a_job(20)]), json!([{"number": 7}])));
    Stage::set_in(place, RUNNER_PROGRAM, world, &settings).await
}

/// Fails if a machine, a socket or a process is left.
async fn assert_nothing_is_left(stage: &Stage) {
    let state = stage.gate.place.path("jitgate-state");
    no_slot_is_left(&state).await;
    let is_socket = |path: &&PathBuf| fs::metadata(path).is_ok_and(|about| about.file_type().is_socket());
    let files = below(&state, "");
    let sockets: Vec<_> = files
        .iter()
        .filter(is_socket)
        .filter_map(|path| path.file_name())
        .collect();
    assert_eq!(sockets, ["events"], "the host has one socket");
    if is_root() {
        let gate = [stage.gate.process.id()];
        eventually("the gate alone is left", || {
            (processes_of(NAMELESS) == gate).then_some(())
        })
        .await;
    }
}

/// Returns the processes of an account.
fn processes_of(account: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc").expect("processes").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let accounts = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        accounts.is_some_and(|accounts| accounts.split_whitespace().any(|id| id == account.to_string()))
    })
    .collect()
}

/// Passes connections on to the simulated GitHub, which listens on loopback only.
async fn pass_on(listener: TcpListener, github: String) {
    while let Ok((mut from, _)) = listener.accept().await {
        let github = github.clone();
        tokio::spawn(async move {
            let mut to = TcpStream::connect(github).await?;
            copy_bidirectional(&mut from, &mut to).await
        });
    }
}

/// Runs a test of this program on a machine between two networks, which takes root.
fn on_a_machine(test: &str) {
    let folder = TempDir::new().expect("a folder");
    let world = World::make(folder.path());
    let program = std::env::current_exe().expect("this program");
    let mut command = world.on_machine(&program);
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(ON_MACHINE, "yes")
        .output()
        .expect("nsenter");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[expect(clippy::disallowed_methods, reason = "a test that starts itself tells itself so")]
fn is_on_a_machine() -> bool {
    std::env::var(ON_MACHINE).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_without_root_in_a_network_of_its_own() {
    if !is_on_a_machine() {
        return on_a_machine("unprivileged::a_job_runs_without_root_in_a_network_of_its_own");
    }
    let devices = TempDir::new().expect("a folder");
    // Of this machine, the job reaches the one address at which it finds the simulated GitHub.
    let settings = [("qemu.network", "isolated"), ("qemu.network_allow", "203.0.113.2/32")];
    let mut stage = stage(place_of_nameless(&devices, "666"), &settings).await;
    let github = stage.github_url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(GITHUB).await.expect("an address");
    let passing = tokio::spawn(pass_on(listener, github));
    stage.deliver("queued", 1020).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&1020].ran, "{tally:?}");
    let [output] = <[String; 1]>::try_from(outputs(&stage.gate.place.path("jitgate-state"))).expect("one runner");
    let answers: Vec<&str> = output.lines().filter(|line| line.ends_with(" answers")).collect();
    assert_eq!(
        answers,
        ["198.51.100.10 answers"],
        "the internet and nothing else: {output}"
    );
    assert!(output.contains("all addresses are tried"), "{output}");
    assert_nothing_is_left(&stage).await;
    passing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_without_root_in_an_open_network_and_reaches_nothing_without_one() {
    let devices = TempDir::new().expect("a folder");
    let mut stage = stage(place_of_nameless(&devices, "600"), &[]).await;
    let state = stage.gate.place.path("jitgate-state");
    stage.deliver("queued", 1020).await;
    stage.go_on();
    let tally = stage.until_nothing_is_left().await;
    assert!(tally.jobs[&1020].ran, "{tally:?}");
    assert_eq!((tally.minted, tally.ran), (1, 1));
    assert_nothing_is_left(&stage).await;

    let mut stage = stage
        .killed_and_restarted_with(&[("qemu.network", "none"), ("runners.attempts", "1")])
        .await;
    let more = json!({"runs": [a_job(21)]});
    stage.github.apply(&more).await.expect("one more job");
    stage.deliver("queued", 1021).await;
    stage.go_on();
    let is_over = |tally: &Tally| tally.minted == 2 && tally.runners_left == 0;
    let tally = stage.until("the runner ends without GitHub", is_over).await;
    assert!(!tally.jobs[&1021].ran, "{tally:?}");
    no_slot_is_left(&state).await;
    let outputs = outputs(&state);
    let without: Vec<&String> = outputs
        .iter()
        .filter(|output| output.contains("all addresses are tried"))
        .collect();
    assert_eq!(without.len(), 1, "{outputs:?}");
    assert!(!without[0].contains(" answers"), "{outputs:?}");
    assert_nothing_is_left(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_device_of_uplinks_is_reported_with_its_remedy() {
    assert!(is_root(), "this test closes a device for an account: run it as root");
    let devices = TempDir::new().expect("a folder");
    let place = place_of_nameless(&devices, "600");
    let image = image().display().to_string();
    let settings = [SETTINGS, &[("qemu.image", &*image), ("qemu.network", "isolated")]].concat();
    let mut check = place.start(&["config", "check"], &settings);
    check.code().await;
    let said = format!("{}{}", check.out.text(), check.err.text());
    assert!(said.contains("cannot open /dev/net/tun: Permission denied"), "{said}");
    assert!(said.contains("`chmod 666 /dev/net/tun`"), "{said}");
}

/// Makes a copy of /etc that gives an account a range of ids.
fn etc(folder: &Path) {
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(folder).status();
    assert!(copied.expect("cp").success());
    for file in ["subuid", "subgid"] {
        fs::write(folder.join("etc").join(file), "nobody:300000:65536\n").expect("a file");
    }
}

#[test]
fn an_image_is_the_same_without_root() {
    assert!(is_root(), "this test compares with the image of root: run it as root");
    let (expected, folder) = (image(), TempDir::new_in(built::place()).expect("a folder"));
    let etc_folder = TempDir::new().expect("a folder");
    etc(etc_folder.path());
    chown(folder.path(), Some(SUBORDINATE_OWNER), Some(SUBORDINATE_OWNER)).expect("an owner");
    let words = become_account(SUBORDINATE_OWNER, &[(&etc_folder.path().join("etc"), "/etc")]);
    let mut build = Command::new(&words[0]);
    build.args(&words[1..]).arg(env!("CARGO_BIN_EXE_jitgate"));
    build.args(["--json", "image", "build", "--runner"]).arg(runner());
    build.arg("--images").arg(folder.path()).current_dir("/");
    let output = build.output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let built: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(built["cached_root"], false);
    let manifest = |image: &Path| -> Value {
        serde_json::from_slice(&fs::read(image.join("manifest.json")).expect("a manifest")).expect("JSON")
    };
    let (ours, theirs) = (manifest(&expected), built["manifest"].clone());
    if ours["packages"] == theirs["packages"] {
        assert_eq!(ours["files"], theirs["files"], "the same bytes");
        return;
    }
    // Debian's archive has changed since root built the common image.
    let again = beside();
    let runner = runner().display().to_string();
    let again = built::jitgate(&["build", "--no-cache", "--runner", &runner], again.path());
    assert_eq!(again["manifest"]["files"], theirs["files"], "the same bytes");
}
