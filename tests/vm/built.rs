//! The image of all tests of virtual machines, built once for the same inputs by the real command line. Its runner program
//! is the stand-in of the local host, which finds the simulated GitHub at QEMU's address for this machine.

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNNER_PROGRAM: &str = include_str!("../it/runners/run.sh");
/// The runner program of tests without a GitHub: its configuration is a script.
const SCRIPT: &str = r#"
echo "the runner program starts"
script=$(printf %s "${ACTIONS_RUNNER_INPUT_JITCONFIG-}" | base64 -d 2>/dev/null)
case $script in '{'* | '') ;; *) exec bash -c "$script" ;; esac
"#;
/// The beginning of a runner program that does not reach the simulated GitHub on the loopback of the host. It tries addresses of
/// the host, of its neighbourhood and of the internet, and continues with the address of the host that such tests permit.
const ELSEWHERE: &str = r#"    if ! curl --silent --max-time 20 --output /dev/null "$server"; then
        for address in 10.0.2.2 10.9.9.9 198.51.100.10; do
            timeout 20 bash -c 'exec 3<>"/dev/tcp/$0/7777" && read -t 10 -r line <&3 && [ "$line" = hello ]' "$address" \
                && echo "$address answers"
        done 2>/dev/null
        echo "all addresses are tried"
        server=http://203.0.113.2:3000/${server#http://*/}
    fi
"#;
/// The first thing that a worker does in a guest: it looks for what an earlier job has left, and leaves something. It shows the
/// size of its machine.
const TRACES: &str = r#"
for place in "$HOME" /tmp /var/tmp /dev/shm; do
    if [ -e "$place/trace" ]; then echo "an earlier job was here"; fi
    touch "$place/trace"
done
echo "the first job here"
memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
echo "$(nproc) processors, $((memory / 1024)) MiB of memory, $(df --output=size -B M / | tail -n 1 | tr -d ' M') MiB of disk"
"#;
const JITGATE: &str = env!("CARGO_BIN_EXE_jitgate");

/// Returns the folder of everything that the tests of this program keep between runs.
pub(crate) fn place() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    fs::create_dir_all(&place).expect("a folder");
    place
}

/// Returns the folder of the image.
pub(crate) fn image() -> PathBuf {
    images().join("current").canonicalize().expect("an image")
}

/// Returns the folder of images, whose current one is built from this jitgate.
pub(crate) fn images() -> PathBuf {
    let (place, images) = (place(), place().join("images"));
    let lock = File::create(place.join("lock")).expect("a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    let stamp = place.join("stamp");
    let inputs = inputs();
    let is_built = fs::read_to_string(&stamp).is_ok_and(|text| text == inputs) && images.join("current").exists();
    if !is_built {
        build(&images);
        // Builds of older programs would fill the disk. The cache keeps one root with Docker, and one without.
        jitgate(&["prune", "--keep", "2"], &images);
        fs::write(&stamp, inputs).expect("a stamp");
    }
    images
}

/// Returns the folder of the runner program.
pub(crate) fn runner() -> PathBuf {
    let home = place().join("actions-runner");
    fs::create_dir_all(home.join("bin")).expect("a folder");
    let program = program();
    for name in ["run.sh", "bin/Runner.Worker"] {
        let path = home.join(name);
        if fs::read_to_string(&path).is_ok_and(|text| text == program) {
            continue;
        }
        fs::write(&path, &program).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a mode");
    }
    home
}

fn program() -> String {
    let (first, rest) = RUNNER_PROGRAM.split_once('\n').expect("lines");
    let own = "server=$(printf %s \"$runner\" |";
    let (marker, at_gate) = ("# WORKER BEGINS\n", "bash \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\"");
    let known = "    export server\n";
    assert!(
        [own, marker, at_gate, known].iter().all(|part| rest.contains(part)),
        "the stand-in has changed"
    );
    // The simulated GitHub is on this machine, at an address of QEMU's.
    let rest = rest.replace(own, &format!("{own} sed s/127.0.0.1/10.0.2.2/g |"));
    // A guest is emulated: each question costs it the time that its job needs to reach the gate.
    let rest = rest
        .replace("sleep 0.02;", "sleep 0.3;")
        .replace("sleep 0.2;", "sleep 2;")
        .replace(known, &format!("{ELSEWHERE}{known}"));
    format!("{first}{SCRIPT}{}", rest.replace(marker, &format!("{marker}{TRACES}")))
}

/// Builds an image in this folder and returns the answer.
pub(crate) fn build(images: &Path) -> Value {
    let runner = runner().display().to_string();
    jitgate(&["build", "--runner", &runner], images)
}

/// Runs `jitgate image`.
pub(crate) fn jitgate(words: &[&str], images: &Path) -> Value {
    let mut command = Command::new(JITGATE);
    command
        .args(["--json", "image"])
        .args(words)
        .arg("--images")
        .arg(images);
    let output = command.current_dir(place()).output().expect("jitgate starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{words:?}: {said}\nthe Debian packages mmdebstrap, squashfs-tools and uidmap are necessary; ./tests/run packages installs them"
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns a hash of everything that the image depends on, as far as these tests change it.
fn inputs() -> String {
    let about = fs::metadata(JITGATE).expect("jitgate");
    let text = format!(
        "{} {} {} {}",
        about.size(),
        about.mtime(),
        about.mtime_nsec(),
        program()
    );
    hex::encode(Sha256::digest(text))
}
